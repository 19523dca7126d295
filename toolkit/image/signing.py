"""An image's signature: ed25519 over the payload that cosign signs, in a file beside the image.

https://github.com/containers/image/blob/main/docs/containers-signature.5.md
"""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.atomic import whole_file
from toolkit.errors import BundleError
from toolkit.image.reading import open_layout
from toolkit.runtime.signature import check
from toolkit.trust.signing import sign


def payload(digest: str) -> str:
    """Return what is signed for an image: simple signing's JSON, for this digest under any name."""
    image, identity = {"docker-manifest-digest": digest}, {"docker-reference": ""}
    critical = {"identity": identity, "image": image, "type": "cosign container image signature"}
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":"))


def signature_path(image: Path) -> Path:
    """Return where the signature of a layout's folder or tar lies."""
    return image.with_name(f"{image.name}.sig")


def sign_image(image: Path, key: Ed25519PrivateKey) -> Path:
    """Check every digest of an image, sign its own, and return the signature's file."""
    with open_layout(image) as layout:
        digest = layout.digest
    path = signature_path(image)
    with whole_file(path) as beside:
        beside.write_bytes(sign(payload(digest), key))
    return path


def check_image(image: Path, digest: str, public_key: bytes) -> None:
    """Raise BundleError unless the owner of the public key (PEM) signed the image of this digest."""
    path = signature_path(image)
    if not path.is_file():
        hint = "edgequant sign IMAGE --key KEY signs it"
        raise BundleError("the image is not signed", where=image, expected=path, hint=hint)
    check(path.read_bytes(), payload(digest), public_key, path)
