"""Our envelopes before the libraries of in-toto, and theirs for ours: what `cargo xtask suite intoto` calls.

    intoto.py read FOLDER ID ID    reads what `notary make` left: envelope, statement, keys
    intoto.py write FOLDER         signs the same statement with keys of its own
    intoto.py spoil FOLDER WAY     changes what it signed, in one way
    intoto.py versions             says which libraries these are
"""

import base64
import copy
import json
import sys
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

LIBRARIES = ["securesystemslib", "in-toto-attestation", "cryptography"]
PAYLOAD_TYPE = "application/vnd.in-toto+json"


def refuses(act, kind):
    """Whether an act ends with an error of a kind."""
    try:
        act()
    except kind:
        return True
    return False


def check(holds, what):
    print(("ok  " if holds else "NOT ") + what)
    if not holds:
        sys.exit(1)


def read(folder, ids):
    form = json.loads((folder / "ours.json").read_text())
    public = [serialization.load_pem_public_key((folder / f"ours-{n}.pem").read_bytes()) for n in (1, 2)]
    keys = [SSlibKey.from_crypto(key, keyid=keyid) for key, keyid in zip(public, ids)]
    stranger = SSlibKey.from_crypto(Ed25519PrivateKey.generate().public_key(), keyid=ids[0])

    envelope = Envelope.from_dict(copy.deepcopy(form))
    check(envelope.payload_type == PAYLOAD_TYPE, "the payload's type is in-toto's")
    check(set(envelope.verify(keys, 2)) == set(ids), "both of our signatures are right")
    check(refuses(lambda: envelope.verify([keys[0], keys[0]], 2), (VerificationError, ValueError)), "one key is one")
    check(refuses(lambda: envelope.verify([stranger], 1), VerificationError), "another key of the same id is refused")
    changed = copy.deepcopy(form)
    payload = base64.b64decode(changed["payload"]).replace(b'"serial":7', b'"serial":8')
    changed["payload"] = base64.b64encode(payload).decode()
    check(changed != form, "the payload says its serial")
    changed = Envelope.from_dict(changed)
    check(refuses(lambda: changed.verify(keys, 1), VerificationError), "a changed statement is refused")

    parsed = json_format.Parse(envelope.payload, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    check(parsed.predicate_type == "urn:remit:package:v1", "the statement is one of in-toto, version 1")

    passphrase = (folder / "passphrase").read_bytes()
    for number, key in enumerate(public, 1):
        secret = serialization.load_pem_private_key((folder / f"secret-{number}.pem").read_bytes(), passphrase)
        check(secret.public_key() == key, f"OpenSSL opens our secret key {number} by its passphrase")


def signers(folder):
    """Keys that are made where there are none yet. The id of one is what ours is: the SHA-256 of its SubjectPublicKeyInfo."""
    import hashlib

    for number in (1, 2):
        secret = Ed25519PrivateKey.generate()
        public = secret.public_key()
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        (folder / f"theirs-{number}.pem").write_bytes(pem)
        keyid = hashlib.sha256(spki).hexdigest()
        yield CryptoSigner(secret, SSlibKey.from_crypto(public, keyid=keyid))


def write(folder):
    payload = base64.b64decode(json.loads((folder / "ours.json").read_text())["payload"])
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    for signer in signers(folder):
        envelope.sign(signer)
    (folder / "good.json").write_text(json.dumps(envelope.to_dict()))
    (folder / "theirs.json").write_text(json.dumps(envelope.to_dict()))


def spoil(folder, way):
    form = json.loads((folder / "good.json").read_text())
    payload = base64.b64decode(form["payload"])
    if way == "statement":
        form["payload"] = base64.b64encode(payload.replace(b'"serial":7', b'"serial":8')).decode()
    elif way == "type":
        form["payloadType"] = "application/json"
    elif way == "signature":
        form["signatures"].pop()
    elif way == "twice":
        form["signatures"][1] = form["signatures"][0]
    elif way == "swapped":
        first, second = form["signatures"]
        first["sig"], second["sig"] = second["sig"], first["sig"]
    else:
        sys.exit(f"there is no way {way}")
    (folder / "theirs.json").write_text(json.dumps(form))


def main():
    act, rest = sys.argv[1], sys.argv[2:]
    if act == "versions":
        print(", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    elif act == "read":
        read(Path(rest[0]), rest[1:3])
    elif act == "write":
        write(Path(rest[0]))
    elif act == "spoil":
        spoil(Path(rest[0]), rest[1])
    else:
        sys.exit(__doc__)


main()
