#!/usr/bin/env python3
"""Writes the inputs that fuzzing begins with: fuzz/seed.py FOLDER. Archives are packed by GNU tar and Python's own."""
import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile

root = pathlib.Path(sys.argv[1])


def seed(target, name, content):
    folder = root / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def paths():
    good = ["index.html", "a/b/c.css", "a b/ü+%.html", ".well-known/x", "a..b", "日本.html", "%2e%2e", "x" * 255]
    bad = ["/etc/x", "../x", "a/../../x", "a/..", "", ".", "a//b", "a/", "./a", "a\nb", "a\x1b[2J", "a\u202eb", "a\\b",
           "C:\\x", ".longshore/journal/x", ".Longshore", "..data", "..x", "a/.nfs0001", "lost+found/x", ".snapshot",
           "x" * 256, "x/" * 200 + "y", "a\0../b", "a/b\0c/d", "%2e%2e/x", "%252e%252e/x", "..%2fx", "a%2Fb", "a%00",
           "%c0%ae%c0%ae/x", "a%20b/%C3%BC+.html", "a/b/", "100%25.html", "a\xa0b", "A\u0301", "..;/x", "a /b. "]
    for number, text in enumerate(good + bad):
        seed("path", f"{number:02}", text)
    seed("path", "not-utf8", b"a\xff/b")


def nodes():
    d = sha("hi")
    manifest = f"longshore-manifest 1\nfile {d} 5 b c.txt\nexec {d} 1 tool\n"
    times = "longshore-times 1\nat 1764000000 1764000001 b c.txt\ngone 5 old\n"
    seed("node", "manifest", manifest)
    seed("node", "times", times)
    seed("node", "folder", f"{manifest}%\nlongshore-manifest 1\ndir @0 2 6 a/\nfile {d} 2 index.html\n")
    seed("node", "times-folder", f"{times}%\nlongshore-times 1\ndir @0 a/\nat 1 1 index.html\n")
    seed("node", "parts", f"longshore-manifest 1\nfile {d} 1 a\n%\nlongshore-manifest 1\nfile {d} 1 b\n%\n"
         "longshore-manifest 1\npart @0 1 1 a\npart @1 1 1 b\n")
    seed("node", "empty", "longshore-manifest 1\n")
    for name, line in {"zeros": f"file {d} 05 a", "plus": f"file {d} +5 a", "upper": f"file {d.upper()} 5 a",
                       "climbs": f"file {d} 5 ..", "nested": f"file {d} 5 a/b", "slash": f"file {d} 5 a/",
                       "twice": f"file {d} 5 a\nfile {d} 5 a", "negative": f"file {d} -5 a",
                       "huge": f"file {d} 99999999999999999999 a", "nameless": f"file {d} 5 "}.items():
        seed("node", f"bad-{name}", f"longshore-manifest 1\n{line}\n")
    seed("node", "bad-cut", f"longshore-manifest 1\nfile {d} 5 a")
    seed("node", "bad-version", f"longshore-manifest 2\nfile {d} 5 a\n")


def deploys():
    one = {"digest": sha("x"), "size": 1}
    bodies = [
        {"manifest": {"index.html": one, "a/tool": dict(one, executable=True, mtime=1)}, "message": "ü"},
        {"base": 7, "set": {"a": one}, "remove": ["b", "c/d"], "parent": sha("p")},
        {"base": sha("r"), "set": {}, "remove": []},
        {"manifest": {"../x": one}}, {"manifest": {"a": {"digest": sha("x").upper(), "size": 1}}},
        {"manifest": {"a": {"digest": "00", "size": 1}}}, {"manifest": {"a": [sha("x"), 1]}}, [None], {"base": [[[[]]]]},
        {"manifest": {"a": dict(one, size=-1)}}, {"manifest": {"a": dict(one, size=1e9)}}, {"set": {}, "other": 1},
    ]
    for number, body in enumerate(bodies):
        seed("deploy", f"{number:02}", json.dumps(body, separators=(",", ":")))
    plain = json.dumps(bodies[0]).encode()
    seed("deploy", "gzip", gzip.compress(plain, mtime=0))
    seed("deploy", "gzip-in-gzip", gzip.compress(gzip.compress(plain, mtime=0), mtime=0))
    seed("deploy", "zstd", subprocess.run(["zstd", "-qc"], input=plain, stdout=subprocess.PIPE, check=True).stdout)
    seed("deploy", "twice", '{"manifest":{"a":%s,"a":%s}}' % ((json.dumps(one),) * 2))
    seed("deploy", "deep", '{"base":' + "[" * 200)


def tars():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "a/b").mkdir(parents=True)
        (folder / "index.html").write_text("hi")
        (folder / "a/tool").write_text("#!/bin/sh\n")
        (folder / "a/tool").chmod(0o755)
        (folder / "a/b/ü.txt").write_text("x" * 600)
        (folder / ("l" * 120)).write_text("1")
        os.symlink("/etc/passwd", folder / "link")
        os.link(folder / "index.html", folder / "same")
        os.mkfifo(folder / "fifo")
        fixed = ["--sort=name", "--owner=0", "--group=0", "--mtime=@1764000000", "-C", name]
        pack = lambda *more: subprocess.run(["tar", *fixed, "-c", *more], stdout=subprocess.PIPE, check=True).stdout
        for kind in ["v7", "oldgnu", "gnu", "ustar", "pax"]:
            names = ["./index.html", "./a"] + ([] if kind in ("v7", "ustar") else ["l" * 120])
            small = pack(f"--format={kind}", "--blocking-factor=1", *names)
            seed("tar", kind, small)
        seed("tar", "gzip", gzip.compress(small, mtime=0))
        zstd = subprocess.run(["zstd", "-qc"], input=small, stdout=subprocess.PIPE, check=True).stdout
        seed("tar", "zstd", zstd)
        seed("tar", "two-members", gzip.compress(small[:700], mtime=0) + gzip.compress(small[700:], mtime=0))
        for bad in ["link", "fifo"]:
            seed("tar", f"bad-{bad}", pack("--format=ustar", "--blocking-factor=1", bad))
        seed("tar", "bad-hard-link", pack("--format=ustar", "--blocking-factor=1", "index.html", "same"))
        sparse = folder / "sparse"
        with open(sparse, "wb") as file:
            file.truncate(1 << 20)
            file.seek(1 << 19)
            file.write(b"x")
        seed("tar", "bad-sparse", pack("--format=gnu", "--sparse", "--blocking-factor=1", "sparse"))
        seed("tar", "bad-cut", small[:1200])
        seed("tar", "bad-more", small + b"x" * 512)

    def made(name, **more):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo(name)
            for key, value in more.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(b"1" * info.size))
        return out.getvalue().rstrip(b"\0").ljust(2048, b"\0") + bytes(512)

    for number, name in enumerate(["../x", "/etc/x", "a/../../x", ".longshore/x", "..data", "a\nb", "x" * 300]):
        seed("tar", f"bad-name-{number}", made(name, size=1))
    seed("tar", "pax-size", made("a", size=3, pax_headers={"size": "3", "mtime": "1.5", "comment": "c"}))
    seed("tar", "bad-pax-size", made("a", size=3, pax_headers={"size": "9223372036854775807"}))
    seed("tar", "bad-pax-path", made("a", size=3, pax_headers={"path": "../x"}))
    seed("tar", "bad-pax-sparse", made("a", size=3, pax_headers={"GNU.sparse.major": "1"}))
    seed("tar", "device", made("a", type=tarfile.CHRTYPE))
    seed("tar", "bits", made("a", size=1, mode=0o7777, uid=1 << 40, mtime=-1))


def zips():
    def made(*files, method=zipfile.ZIP_STORED, **more):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, content, mode in files:
                info = zipfile.ZipInfo(name, (2025, 11, 25, 0, 0, 0))
                info.compress_type = method
                info.external_attr = mode << 16
                archive.writestr(info, content)
            archive.comment = more.get("comment", b"")
        return out.getvalue()

    plain = [("a/", "", 0o40755), ("a/x", "1", 0o100755), ("index.html", "hi", 0o100644)]
    stored, packed = made(*plain), made(*plain, method=zipfile.ZIP_DEFLATED)
    seed("zip", "stored", stored)
    seed("zip", "deflated", packed)
    seed("zip", "comment", made(*plain, comment=b"hello"))
    seed("zip", "umlaut", made(("ü.html", "x", 0o100644)))
    seed("zip", "bad-link", made(("link", "/etc/passwd", 0o120777)))
    seed("zip", "bad-comment", made(*plain, comment=stored[-22:]))
    for number, name in enumerate(["../x", "/etc/x", "a\\b", ".longshore/x", "x" * 256, "C:/x", "a\0b"]):
        seed("zip", f"bad-name-{number}", made((name, "1", 0o100644)))
    seed("zip", "bad-twice", made(("a", "1", 0o100644), ("b", "2", 0o100644)).replace(b"b", b"a"))
    seed("zip", "bad-method", made(("a", "x" * 40, 0o100644), method=zipfile.ZIP_LZMA))
    seed("zip", "bad-before", b"PK\3\4" + stored)
    seed("zip", "bad-after", stored + b"x")
    seed("zip", "bad-crc", stored.replace(b"hi", b"ho"))
    seed("zip", "bad-disagreeing", stored.replace(b"index.html", b"other.html", 1))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open(zipfile.ZipInfo("a"), "w", force_zip64=True) as file:
        file.write(b"x")
    seed("zip", "zip64", out.getvalue())

    class Stream(io.RawIOBase):
        """Cannot seek, so that sizes follow the content."""
        def __init__(self):
            self.bytes = b""

        def writable(self):
            return True

        def write(self, more):
            self.bytes += bytes(more)
            return len(more)

    out = Stream()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("a"), "hello")
    seed("zip", "descriptor", out.bytes)
    seed("zip", "huge", packed.replace(struct.pack("<I", 2), struct.pack("<I", 0x7fffffff)))


def headers():
    d = sha("x")
    digest = base64.b64encode(hashlib.sha256(b"abc").digest()).decode()
    for number, lines in enumerate([
        ["10", "range: bytes=0-3"], ["10", "range: bytes=4-"], ["10", "range: bytes=-2"], ["0", "range: bytes=0-0"],
        ["10", "range: bytes=0-1,4-5"], ["10", "range: bytes=18446744073709551615-"], ["10", "range: bytes=-0"],
        ["10", "range: bytes=0-3", 'if-range: "tag"'], ["10", "range: bytes=0-3", "if-range: a date"],
        ["18446744073709551615", "range: bytes=-18446744073709551615"], ["10", "range: bytes=5-2"],
        ["1", f'if-match: "{d}", W/"{d}"', 'if-none-match: "a,b",, "c"'], ["1", "if-match: *"], ["1", "if-match: x"],
        ["1", "if-unmodified-since: Tue, 25 Nov 2025 00:00:00 GMT"], ["1", f"content-digest: sha-256=:{digest}:"],
        ["1", f"repr-digest: sha-512=:AA==:, sha-256=:{digest}:"], ["1", "content-digest: sha-256=:AA==:"],
        ["1", "upload-offset: 7", "upload-length: 9223372036854775807"], ["1", "upload-offset: -1"],
        ["1", "upload-length: 9223372036854775808"], ["1", "upload-defer-length: 1"], ["1", "upload-offset: +7"],
        ["1", "upload-metadata: path YS9i,sha256 " + base64.b64encode(d.encode()).decode() + ",is_confidential"],
        ["1", "upload-metadata: path Li4veA=="], ["1", "upload-metadata: path /w=="], ["1", "upload-metadata: a,a"],
        ["1", "upload-checksum: sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0="], ["1", "upload-checksum: md5 kAFQmDzST7DWlj99KOF/cg=="],
        ["1", "content-encoding: gzip", "content-encoding: zstd"], ["1", "content-type: application/x-tar; a=b"],
        ["1", "dry-run: ?1"], ["1", "dry-run: yes"],
    ]):
        seed("headers", f"{number:02}", "\n".join(lines))


def forms():
    kind = "multipart/form-data; boundary=xYz\n"

    def form(*parts):
        return kind + "".join(f"--xYz\r\n{header}\r\n\r\n{content}\r\n" for header, content in parts) + "--xYz--\r\n"

    disposition = "Content-Disposition: form-data; "
    for number, parts in enumerate([
        [('name="a"; filename="index.html"', "hi"), ('name="b"; filename="a/x"', "")],
        [('name="a"; filename="a%22b;c.txt"', "hi")], [("name=a; filename*=UTF-8''%C3%BC.txt", "hi")],
        [('name="a"; filename="q\\"q.txt"', "hi\r\n--xY")], [('name="a"', "hi")], [('name="a"; filename="../x"', "hi")],
        [('name="a"; filename="a"', "1"), ('name="b"; filename="a"', "2")], [('name="a"; filename="a"; filename="b"', "")],
        [('name="a"; filename="=?utf-8?q?a?="', "")], [('name="a"; filename="C:\\x"', "")],
    ]):
        seed("form", f"{number:02}", form(*((disposition + header, content) for header, content in parts)))
    seed("form", "cut", form((disposition + 'filename="a"', "hi"))[:-8])
    seed("form", "no-boundary", "multipart/form-data\n--x--\r\n")


def tokens():
    t = "0123456789abcdef"
    for number, (file, value) in enumerate([
        (t, f"Bearer {t}"), (f"{t} name=ci scopes=upload,read path=blog/", f"bearer  {t}"),
        (f"sha256:{sha(t)} name=x # who", f"Bearer {t}"), (f"sha256:{sha(t)}", f"Bearer sha256:{sha(t)}"),
        (f"# comment\n\n{t} scopes=admin\r\n{t}x", f"Bearer {t}x"), (f"\ufeff{t}", f"Bearer {t}"), (t, f"Basic {t}"),
        (f"{t} name=a name=b", f"Bearer {t}"), (f"{t} path=../x", f"Bearer {t}"), (f"{t} scopes=write", f"Bearer {t}"),
        ("short", "Bearer shor"), (f"sha256:{sha(t)[:10]}", "Bearer"), ("", "Bearer "), (f"{t} name=token:1", t),
    ]):
        seed("tokens", f"{number:02}", f"{file}\0{value}")
    seed("tokens", "not-utf8", t.encode() + b"\xff\0Bearer " + t.encode() + b"\xff")


def jwts():
    header = {"alg": "EdDSA", "kid": "k", "typ": "JWT"}
    claims = {"iss": "https://issuer.example", "aud": "us", "sub": "repo:o/r", "repository_id": "74",
              "iat": "@@00", "nbf": "@@00", "exp": "@@99"}

    def line(value):
        return json.dumps(value, separators=(",", ":")).replace('"@@00"', "@@00").replace('"@@99"', "@@99")

    good = line(header) + "\n" + line(claims)
    seed("jwt", "good", good)
    seed("jwt", "many-audiences", line(header) + "\n" + line(dict(claims, aud=["them", "us"], repository_id=74)))
    for number, more in enumerate([{"alg": "none"}, {"alg": "HS256"}, {"jku": "https://evil.example"}, {"crit": ["b64"]},
                                   {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}}, {"kid": ""}, {"x5c": ["AA"]}]):
        seed("jwt", f"bad-header-{number}", line(dict(header, **more)) + "\n" + line(claims))
    for number, more in enumerate([{"iss": "https://evil.example"}, {"aud": []}, {"aud": "them"}, {"exp": 1}, {"exp": 1 << 63},
                                   {"nbf": 1 << 40}, {"iat": -1}, {"iat": 1.5}, {"sub": ""}, {"repository_id": "75"}, {"sub": None}]):
        seed("jwt", f"bad-claim-{number}", line(header) + "\n" + line(dict(claims, **more)))
    seed("jwt", "token", "e30.eyJpc3MiOiJodHRwczovL2kifQ.AAAA")
    seed("jwt", "keys", json.dumps({"keys": [{"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": "A" * 43},
                                             {"kty": "oct", "kid": "s", "k": "c2VjcmV0"}, 7]}))


def entries():
    def line(seq, previous, **more):
        entry = {"version": 1, "seq": seq, "op": "8d9f1f5e-6a8e-4b0a-9d43-3a5c1c1f0c01", "site": "0" * 32,
                 "previous": previous, "release": sha("r"), "times": sha("t"), "parent": None, "cause": "upload",
                 "by": "token:01020304", "message": "hello\n", "at": "2025-11-25T12:34:56.789Z"}
        return json.dumps(dict(entry, **more), separators=(",", ":")) + "\n"

    first = line(1, None, cause="seed")
    second = line(2, sha(first), parent=sha("r"), message=None, later="unknown", cause="other")
    third = line(3, sha(second))
    body = first + second + third
    head = json.dumps({"version": 1, "first": 1, "last": 3, "previous": None, "head": sha(third), "body": sha(body)})
    seed("entry", "one", first)
    seed("entry", "three", body)
    seed("entry", "segment", f"{head}\n{body}")
    seed("entry", "gap", first + third)
    seed("entry", "other-order", second + first)
    seed("entry", "newer", line(1, None, version=2))
    seed("entry", "old-time", line(1, None, at="0001-01-01T00:00:00+14:00"))
    seed("entry", "leap", line(1, None, at="2016-12-31T23:59:60.5Z"))
    seed("entry", "far", line(18446744073709551615, None, at="+262142-12-31T23:59:59.999999999Z"))
    seed("entry", "cut", first[:100])
    seed("entry", "names", "\n".join(["%020d.json" % 7, "%020d-%020d.jsonl" % (1, 5), "%020d-%020d.jsonl" % (2, 4), "x"]))


for make in [paths, nodes, deploys, tars, zips, headers, forms, tokens, jwts, entries]:
    make()
