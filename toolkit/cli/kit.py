"""``edgequant kit``: one archive for a host without the internet."""

import os
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from toolkit.cli import terminal
from toolkit.cli.image_build import cache_folder
from toolkit.errors import UsageError
from toolkit.image.bundles import runtime_kind
from toolkit.image.lock import read_lock
from toolkit.image.rootfs import Sources
from toolkit.kit import wheels_runtime, whole_runtime, write_kit
from toolkit.runtime.bundle import open_any
from toolkit.trust.signing import load_private


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "bundles", metavar="BUNDLE", nargs="+", type=Path, help="folders of bundles for one architecture"
    )
    parser.add_argument("-o", "--out", metavar="OUT", type=Path, required=True, help="the kit's file, a .tar.gz")
    parser.add_argument("--key", metavar="KEY", type=Path, help="sign it with this private key")
    parser.add_argument("--slim", action="store_true", help="a runtime without numpy")
    what = "leave Python out: the host has --python"
    parser.add_argument("--wheels-only", action="store_true", help=what)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--python", metavar="N.N", default=here, help=f"the host's Python (default: {here})")
    parser.add_argument(
        "--lock", metavar="FILE", type=Path, help="packages and wheels by digest (edgequant image lock)"
    )
    parser.add_argument("--wheelhouse", metavar="DIR", type=Path, help="take the wheels from this folder")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, help="where downloads are kept (default: the user's cache)"
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(args: Namespace) -> int:
    """Write the kit."""
    if args.slim and args.wheels_only:
        raise UsageError("--slim goes with a kit that brings its own Python")
    if os.path.lexists(args.out):
        raise UsageError("the output exists", where=args.out, hint="choose another name, or remove it yourself")
    key = load_private(args.key) if args.key else None
    bundles = [open_any(bundle) for bundle in args.bundles]
    architecture, kind = bundles[0].manifest.target.architecture, runtime_kind(bundles, slim=args.slim)
    sources = Sources(cache_folder(args), read_lock(args.lock) if args.lock else None, args.wheelhouse)
    with tempfile.TemporaryDirectory(prefix="edgequant-kit-") as folder:
        if args.wheels_only:
            runtime = wheels_runtime(architecture, sources, Path(folder), args.python, kind)
        else:
            runtime = whole_runtime(architecture, sources, Path(folder), kind)
        digest = write_kit(args.out, args.bundles, runtime, key)
    size = args.out.stat().st_size
    if args.json:
        terminal.print_json({"kit": str(args.out), "release": digest, "bytes": size, "signed": key is not None})
    else:
        said = f"{args.out}  {size / 1e6:.1f} MB, {'signed' if key else 'not signed'}\nrelease {digest}"
        terminal.out().print(said, soft_wrap=True, markup=False)
    return 0
