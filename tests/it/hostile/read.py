"""Reads archives as Python does: a path a line, and a line of JSON for each."""

import hashlib
import json
import sys
import tarfile
import zipfile


def read_tar(path):
    files = {}
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            if member.isreg():
                name = member.name
                while name.startswith("./"):
                    name = name[2:]
                files[name] = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
            elif not member.isdir():
                files[member.name] = "neither file nor folder"
    return files


def read_zip(path):
    with zipfile.ZipFile(path) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        return {info.filename: hashlib.sha256(archive.read(info)).hexdigest() for info in files}


for line in sys.stdin:
    path = line.rstrip("\n")
    try:
        files = read_zip(path) if path.endswith(".zip") else read_tar(path)
        print(json.dumps({"files": files}), flush=True)
    except Exception as error:  # whatever it is, it is no archive to Python
        print(json.dumps({"error": repr(error)}), flush=True)
