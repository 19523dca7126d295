"""``edgequant sign``: a bundle's or an image's signature beside what it signs."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from toolkit.cli import terminal
from toolkit.image.signing import sign_image
from toolkit.trust.signing import load_private, sign_bundle


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    what = "a bundle's folder, or an image: an OCI layout's folder, or a .tar of one"
    parser.add_argument("signed", metavar="BUNDLE|IMAGE", type=Path, help=what)
    parser.add_argument("--key", metavar="KEY", type=Path, required=True, help="the private key of edgequant keygen")


def run(args: Namespace) -> int:
    """Sign."""
    key, image = load_private(args.key), args.signed.is_file() or (args.signed / "oci-layout").is_file()
    path = sign_image(args.signed, key) if image else sign_bundle(args.signed, key)
    terminal.err().print(f"signed: {path}", soft_wrap=True, markup=False)
    return 0
