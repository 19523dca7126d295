"""The command ``unpack``, for this package, which reads gzip, and for ``edgequant``, which reads zstd too."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.runtime.options import Subparsers

if TYPE_CHECKING:
    from toolkit.runtime.tensor_manifest import AnyManifest

WHAT = "unpack a bundle's archive, with every file checked, whole or not at all"


def register_unpack(subparsers: Subparsers) -> None:
    """Add ``unpack``."""
    parser = subparsers.add_parser("unpack", help=WHAT, description=f"{WHAT[0].upper()}{WHAT[1:]}.")
    configure(parser, ".tar or .tar.gz")
    parser.set_defaults(run=run)


def configure(parser: ArgumentParser, kinds: str) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "archive", metavar="ARCHIVE", type=Path, help=f"what edgequant quantize --archive wrote: {kinds}"
    )
    parser.add_argument("-o", "--out", metavar="DIR", type=Path, required=True, help="the new folder of the bundle")
    parser.add_argument(
        "--key", metavar="PUB", type=Path, help="refuse a bundle that this public key's owner did not sign"
    )


def run(args: Namespace) -> int:
    """Unpack with what the runtime has."""
    from toolkit.runtime.unpacking import unpack  # noqa: PLC0415 - it loads OpenSSL, which most commands do without

    return unpack_with(unpack, args)


def unpack_with(how: Callable[[Path, Path, bytes | None], "AnyManifest"], args: Namespace) -> int:
    """Unpack and say so."""
    manifest = how(args.archive, args.out, args.key.read_bytes() if args.key else None)
    print(f"{manifest.name} for {manifest.target.name}: {len(manifest.files)} files -> {args.out}", file=sys.stderr)
    return 0
