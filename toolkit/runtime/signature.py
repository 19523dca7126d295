"""A bundle's signature, checked on the device: ed25519 over the digest of ``manifest.json``, which guards the rest."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolkit.runtime import ed25519
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.manifest import FILE_NAME, SIGNATURE
from toolkit.runtime.strict import parse, read

SCHEMA = 1

_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END PUBLIC KEY-----")
_SPKI = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of ed25519, all but the key: RFC 8410, 4


@dataclass(frozen=True)
class Signature:
    """All of a ``.sig`` file: what was signed, by the key with which digest, and the signature in base64.

    ``signed`` is the very text whose UTF-8 the signature is for; see ``statement``.
    ``key`` is ``sha256:`` and the digest of the public key's SubjectPublicKeyInfo in DER.
    """

    schema: int
    algorithm: Literal["ed25519"]
    key: str
    signed: str
    signature: str


def statement(kind: str, data: bytes) -> str:
    """Return what is signed for a file's bytes; ``kind`` keeps a bundle's signature from being taken for another's."""
    return f"edgequant {kind} v1 sha256:{hashlib.sha256(data).hexdigest()}"


def verify_signature(bundle_folder: Path, public_key: bytes) -> None:
    """Check a bundle's signature with ``public_key``, a PEM; nothing but manifest and signature is read.

    BundleError when it is unsigned, signed by another key, or altered; UsageError for a key that is no ed25519 key.
    The files are then guarded by the manifest's digests: ``verify`` compares them.
    """
    check_signature(bundle_folder, public_key, bundle_folder)


def check_signature(folder: Path, public_key: bytes, where: object) -> None:
    """Check the signature of the bundle in ``folder``; messages name ``where``."""
    path = folder / SIGNATURE
    if not path.is_file():
        hint = "edgequant sign BUNDLE --key KEY signs it"
        raise BundleError("the bundle is not signed", where=where, expected=f"a {SIGNATURE} in it", hint=hint)
    check(path.read_bytes(), statement("bundle", (folder / FILE_NAME).read_bytes()), public_key, path)


def check(signature: bytes, expected: str, public_key: bytes, where: object) -> None:
    """Check the bytes of a ``.sig`` file against the statement that it must be for."""
    key, name = _load(public_key)
    found = _read(signature, where)
    if found.key != name:
        raise BundleError("the signature is by another key", where=where, got=found.key, expected=name)
    if found.signed != expected:
        hint = "it was altered or replaced after it was signed"
        raise BundleError(
            "the signature is for something else", where=where, got=found.signed, expected=expected, hint=hint
        )
    if not _matches(key, found.signature, expected.encode()):
        raise BundleError("the signature is wrong", where=where, hint="the signature was altered: copy it again")


def key_name(spki: bytes) -> str:
    """Return how a key is named in a signature, by its SubjectPublicKeyInfo in DER."""
    return f"sha256:{hashlib.sha256(spki).hexdigest()}"


def _read(signature: bytes, where: object) -> Signature:
    found = read(Signature, parse(signature, where), where)
    if found.schema != SCHEMA:
        raise BundleError("the signature is of another schema", where=where, got=found.schema, expected=SCHEMA)
    return found


def _load(public_key: bytes) -> tuple[bytes, str]:
    """Return the 32 bytes of a PEM's key, and its name."""
    match = _PEM.fullmatch(public_key.strip())
    try:
        spki = base64.b64decode(b"".join(match[1].split()), validate=True) if match else b""
    except binascii.Error:
        spki = b""
    if not spki:
        hint = "edgequant keygen writes it, as NAME.pub"
        raise UsageError("the public key is not PEM that can be read", got=repr(public_key[:30]), hint=hint)
    if len(spki) != len(_SPKI) + 32 or not spki.startswith(_SPKI):
        raise UsageError("the public key is of another kind", expected="ed25519")
    return spki[len(_SPKI) :], key_name(spki)


def _matches(key: bytes, signature: str, message: bytes) -> bool:
    try:
        return ed25519.verify(key, base64.b64decode(signature, validate=True), message)
    except binascii.Error:
        return False
