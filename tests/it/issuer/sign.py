"""Signs tokens with PyJWT, or forges them, as standard input says; keys are kept in a folder.

A token has `key` (its name and algorithm, as in `rsa-1`), `header`, `claims`, and perhaps `forge`.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import sys

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ALGORITHMS = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}
FOLDER = pathlib.Path(sys.argv[1])


def key(name):
    file = FOLDER / f"{name}.pem"
    if file.exists():
        return serialization.load_pem_private_key(file.read_bytes(), None)
    kind = name.split("-")[0]
    if kind == "rsa":
        made = rsa.generate_private_key(65537, 2048)
    elif kind == "ec":
        made = ec.generate_private_key(ec.SECP256R1())
    else:
        made = ed25519.Ed25519PrivateKey.generate()
    file.write_bytes(
        made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made


def public(name):
    algorithm = ALGORITHMS[name.split("-")[0]]
    known = jwt.get_algorithm_by_name(algorithm).to_jwk(key(name).public_key(), as_dict=True)
    return {**known, "kid": name, "use": "sig", "alg": algorithm}


def pem(name):
    return key(name).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(wish):
    name, claims, header = wish["key"], wish["claims"], {"kid": wish["key"], **wish.get("header", {})}
    header = {member: value for member, value in header.items() if value is not None}
    forge = wish.get("forge")
    if forge == "none":
        return jwt.encode(claims, None, algorithm="none", headers=header)
    if forge == "hmac":
        # With the public key as the secret, which PyJWT itself refuses.
        begin = encoded(json.dumps({**header, "alg": "HS256"}).encode()) + "." + encoded(json.dumps(claims).encode())
        return begin + "." + encoded(hmac.new(pem(name), begin.encode(), hashlib.sha256).digest())
    if forge == "own-jwk":
        header["jwk"] = public(name)
    if forge == "twice":
        # A member twice: PyJWT writes none, so the part is made by hand, and signed all the same.
        text = json.dumps({"alg": ALGORITHMS[name.split("-")[0]], **header})
        begin = encoded((text[:-1] + f', "kid": "{name}"}}').encode()) + "." + encoded(json.dumps(claims).encode())
        algorithm = jwt.get_algorithm_by_name(ALGORITHMS[name.split("-")[0]])
        return begin + "." + encoded(algorithm.sign(begin.encode(), key(name)))
    algorithm = wish.get("algorithm", ALGORITHMS[name.split("-")[0]])
    if not isinstance(claims, dict):
        return jwt.api_jws.encode(json.dumps(claims).encode(), key(name), algorithm, headers=header)
    # As it is, whatever PyJWT thinks of the claims.
    return jwt.api_jws.encode(json.dumps(claims).encode(), key(name), algorithm, headers={"typ": "JWT", **header})


asked = json.load(sys.stdin)
answer = {
    "keys": [public(name) for name in asked.get("keys", [])],
    "tokens": [token(wish) for wish in asked.get("tokens", [])],
}
json.dump(answer, sys.stdout)
