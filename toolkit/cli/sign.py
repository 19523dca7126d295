"""``edgequant sign``: a bundle's or an image's signature beside what it signs."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from toolkit.cli import terminal
from toolkit.trust.signing import load_private, sign_bundle


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="the bundle's folder")
    parser.add_argument("--key", metavar="KEY", type=Path, required=True, help="the private key of edgequant keygen")


def run(args: Namespace) -> int:
    """Sign."""
    path = sign_bundle(args.bundle, load_private(args.key))
    terminal.err().print(f"signed: {path}", soft_wrap=True, markup=False)
    return 0
