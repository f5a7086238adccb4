"""Our bundles before Sigstore's own library for Python, without a network: what `cargo xtask suite sigstore` calls.

    sigstore.py read FOLDER ISSUER SUBJECT         verifies what `voucher make` left, and writes it as that library does
    sigstore.py spoil FOLDER WAY ISSUER SUBJECT    changes that in one way, and sees it refused
    sigstore.py versions                           says which libraries these are
"""

import sys

# This file is called as the library is, and lies in the first folder where Python looks for it.
sys.path.pop(0)

import base64
import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from sigstore.errors import Error
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy

LIBRARIES = ["sigstore", "cryptography"]
PAYLOAD_TYPE = "application/vnd.in-toto+json"


def check(holds, what):
    print(("ok  " if holds else "NOT ") + what)
    if not holds:
        sys.exit(1)


def verified(folder, text, issuer, subject):
    """The payload of a bundle that is an identity's, by the folder's trust root."""
    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(folder / "root.json")))
    return verifier.verify_dsse(Bundle.from_json(text), policy.Identity(identity=subject, issuer=issuer))


def refuses(folder, text, issuer, subject):
    # What is no bundle any more is told by one of the models' own errors.
    try:
        verified(folder, text, issuer, subject)
    except (Error, ValueError):
        return True
    return False


def read(folder, issuer, subject):
    text = (folder / "ours.json").read_text()
    kind, payload = verified(folder, text, issuer, subject)
    check(kind == PAYLOAD_TYPE, "our bundle is right: certificate, its log's timestamp, log entry, proof, promise, signature")
    statement = json.loads(payload)
    digest = hashlib.sha256((folder / "clerk.wasm").read_bytes()).hexdigest()
    check(statement["subject"][0]["digest"]["sha256"] == digest, "its statement is about the package's file")
    check(refuses(folder, text, issuer + ".example.com", subject), "it is nobody's by another issuer")
    check(refuses(folder, text, issuer, subject.replace("alice", "mallory")), "it is not a fork's")
    (folder / "good.json").write_text(Bundle.from_json(text).to_json())
    (folder / "theirs.json").write_text((folder / "good.json").read_text())


def other(text):
    """Base64 with one of its last characters exchanged: of a certificate, those are its authority's signature."""
    place = len(text) - 16
    return text[:place] + ("B" if text[place] == "A" else "A") + text[place + 1 :]


def spoil(folder, way, issuer, subject):
    form = json.loads((folder / "good.json").read_text())
    envelope, material = form["dsseEnvelope"], form["verificationMaterial"]
    entry = material["tlogEntries"][0]
    if way == "statement":
        payload = base64.b64decode(envelope["payload"])
        envelope["payload"] = base64.b64encode(payload.replace(b'"serial":7', b'"serial":8')).decode()
    elif way == "signature":
        envelope["signatures"][0]["sig"] = other(envelope["signatures"][0]["sig"])
    elif way == "certificate":
        material["certificate"]["rawBytes"] = other(material["certificate"]["rawBytes"])
    elif way == "promise":
        promise = entry["inclusionPromise"]
        promise["signedEntryTimestamp"] = other(promise["signedEntryTimestamp"])
    elif way == "time":
        entry["integratedTime"] = str(int(entry["integratedTime"]) + 1)
    elif way == "proof":
        entry["inclusionProof"]["hashes"][0] = other(entry["inclusionProof"]["hashes"][0])
    elif way == "checkpoint":
        checkpoint = entry["inclusionProof"]["checkpoint"]
        checkpoint["envelope"] = checkpoint["envelope"].replace("log.example.com - 1", "log.example.com - 2")
    elif way == "unlogged":
        material["tlogEntries"] = []
    else:
        sys.exit(f"there is no way {way}")
    text = json.dumps(form)
    check(refuses(folder, text, issuer, subject), f"spoilt ({way}): their library refuses it")
    (folder / "theirs.json").write_text(text)


def main():
    act, rest = sys.argv[1], sys.argv[2:]
    if act == "versions":
        print(", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    elif act == "read":
        read(Path(rest[0]), rest[1], rest[2])
    elif act == "spoil":
        spoil(Path(rest[0]), rest[1], rest[2], rest[3])
    else:
        sys.exit(__doc__)


main()
