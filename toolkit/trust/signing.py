"""Signatures by ed25519: keys in PEM, and ``.sig`` files over the digest of what guards the rest."""

import base64
import json
import os
import stat
from dataclasses import asdict
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as io
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from toolkit.atomic import whole_file
from toolkit.errors import BundleError, UsageError
from toolkit.runtime.bundle import AnyBundle, open_any
from toolkit.runtime.manifest import FILE_NAME, SIGNATURE
from toolkit.runtime.signature import SCHEMA, Signature, key_name, statement
from toolkit.runtime.verification import check_files


def generate(private: Path) -> Path:
    """Write a new private key, readable by its owner alone, and its public key as ``PRIVATE.pub``; return the latter.

    PKCS#8 (RFC 8410) and SubjectPublicKeyInfo in PEM, as OpenSSL reads them. UsageError where either file exists.
    """
    public = private.with_name(f"{private.name}.pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise UsageError("the key exists", where=path, hint="choose another name: a key is never replaced")
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(io.Encoding.PEM, io.PrivateFormat.PKCS8, io.NoEncryption())
    handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file:  # noqa: PTH123 - a handle
        file.write(pem)
    with whole_file(public) as beside:
        beside.write_bytes(public_pem(key.public_key()))
    return public


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key as PEM."""
    return key.public_bytes(io.Encoding.PEM, io.PublicFormat.SubjectPublicKeyInfo)


def load_private(path: Path) -> Ed25519PrivateKey:
    """Read a private key; UsageError when others may read its file too, or it is no ed25519 key without a password."""
    if not path.is_file():
        raise UsageError("there is no such key", where=path, hint="edgequant keygen writes one")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        hint = f"chmod 600 {path}; if others could read it, make a new key"
        raise UsageError(
            "the private key may be read by others", where=path, got=oct(mode), expected="0o600", hint=hint
        )
    try:
        key = io.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        hint = "it must be PKCS#8 in PEM, without a password"
        raise UsageError("the private key cannot be read", where=path, got=error, hint=hint) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("the private key is of another kind", where=path, got=type(key).__name__, expected="ed25519")
    return key


def sign(said: str, key: Ed25519PrivateKey) -> bytes:
    """Return the ``.sig`` file for a text; the same every time: ed25519 uses no random number."""
    public = key.public_key().public_bytes(io.Encoding.DER, io.PublicFormat.SubjectPublicKeyInfo)
    made = base64.b64encode(key.sign(said.encode())).decode()
    return (json.dumps(asdict(Signature(SCHEMA, "ed25519", key_name(public), said, made)), indent=2) + "\n").encode()


def open_whole(folder: Path) -> AnyBundle:
    """Open a bundle; BundleError unless every file is what the manifest says."""
    bundle = open_any(folder)
    for check in check_files(bundle):
        if not check.ok:
            got, hint = f"{check.name}: {check.detail}", "edgequant verify BUNDLE tells more"
            raise BundleError("the bundle is not whole", where=folder, got=got, hint=hint)
    return bundle


def sign_bundle(folder: Path, key: Ed25519PrivateKey) -> Path:
    """Sign a bundle whose files are what its manifest says; return the signature's file."""
    open_whole(folder)
    with whole_file(folder / SIGNATURE) as beside:
        beside.write_bytes(sign(statement("bundle", (folder / FILE_NAME).read_bytes()), key))
    return folder / SIGNATURE
