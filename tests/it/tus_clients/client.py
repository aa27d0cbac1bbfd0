"""An upload by tuspy: python client.py MODE ENDPOINT TOKEN FILE CHUNK PATH"""

import json
import sys

from tusclient import client

mode, endpoint, token, file, chunk, path = sys.argv[1:]
speaker = client.TusClient(endpoint, headers={"Authorization": f"Bearer {token}"})
options = dict(chunk_size=int(chunk), metadata={"path": path}, retries=8, retry_delay=1)

if mode == "checksummed":
    options["upload_checksum"] = True
uploader = speaker.uploader(file, **options)
if mode == "resumed":
    uploader.upload_chunk()
    # Another process, that knows nothing but the address.
    uploader = speaker.uploader(file, url=uploader.url, **options)
    assert uploader.offset == int(chunk), uploader.offset
uploader.upload()
print(json.dumps({"url": uploader.url}))
