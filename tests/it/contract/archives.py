"""How schemathesis sends what our OpenAPI document calls archives: real ones, of whatever it made up."""

import gzip
import hashlib
import io
import tarfile
import zipfile

import schemathesis


def content(value):
    return value if isinstance(value, bytes) else repr(value).encode("utf-8", "replace")


def tar(ctx, value):
    data = content(value)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        # A name that is right for /v1/objects too, and a folder of the site for the others.
        entry = tarfile.TarInfo(hashlib.sha256(data).hexdigest())
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@schemathesis.serializer("application/x-tar")
def plain(ctx, value):
    return tar(ctx, value)


@schemathesis.serializer("application/gzip")
def zipped(ctx, value):
    return gzip.compress(tar(ctx, value))


@schemathesis.serializer("application/zip")
def zip_archive(ctx, value):
    data = content(value)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(hashlib.sha256(data).hexdigest(), data)
    return out.getvalue()


@schemathesis.serializer("application/zstd", "application/offset+octet-stream", "*/*")
def as_it_is(ctx, value):
    return content(value)
