"""Packs a folder in each way that Python knows, into the folder that is named second."""

import os
import sys
import tarfile
import zipfile

seed, out = sys.argv[1:]
for name, kind in [("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)]:
    try:
        with tarfile.open(f"{out}/python-{name}.tar", "w:", format=kind) as archive:
            archive.add(seed, ".")
    except ValueError:  # a name that the format has no place for
        os.remove(f"{out}/python-{name}.tar")
for name, method in [("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)]:
    with zipfile.ZipFile(f"{out}/python-{name}.zip", "w", method) as archive:
        for folder, _, files in sorted(os.walk(seed)):
            for file in sorted(files):
                path = os.path.join(folder, file)
                archive.write(path, os.path.relpath(path, seed))
