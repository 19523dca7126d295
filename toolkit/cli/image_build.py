"""``edgequant image build`` and ``lock``: from bundles to an OCI layout, and what it is made of."""

import os
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ActionsContainer
from pathlib import Path

from toolkit.cli import image_report, terminal
from toolkit.errors import UsageError
from toolkit.image import debs, wheels
from toolkit.image.building import Order
from toolkit.image.bundles import place
from toolkit.image.layers import Settings
from toolkit.image.lock import make_lock, read_lock, write_lock
from toolkit.image.platforms import PLATFORMS, Platform, platform_of
from toolkit.image.reading import open_layout
from toolkit.image.rootfs import Sources, python_of
from toolkit.image.writing import default_name, image_name, refuse_existing_image, write_image

_EPOCH = "SOURCE_DATE_EPOCH"


def configure_build(parser: ArgumentParser) -> None:
    """Add the arguments of ``build``."""
    parser.add_argument("bundles", metavar="BUNDLE", nargs="*", type=Path, help="bundles, each for where it runs")
    parser.add_argument(
        "--bundle-for",
        metavar="OS/ARCH=BUNDLE",
        action="append",
        default=[],
        type=_bundle_for,
        help="a bundle for one platform; may be given again",
    )
    _add_platform(parser, "all that there is a bundle for")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="OUT", help="an OCI layout's folder, or FILE.tar"
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it is an image")
    parser.add_argument("--name", metavar="NAME[:TAG]", type=_name, help="the image's name (default: by its bundle)")
    parser.add_argument("--slim", action="store_true", help="the runtime without numpy: same answers, less to ship")
    parser.add_argument("--label", metavar="KEY=VALUE", action="append", default=[], type=_pair, help="add a label")
    parser.add_argument("--compression", choices=("gzip", "zstd"), default="gzip", help="of layers (default: gzip)")
    parser.add_argument("--explain", action="store_true", help="show megabytes by part")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    sources = parser.add_argument_group("sources", "of Python, libraries and wheels")
    sources.add_argument("--base", metavar="IMAGE", type=Path, help="an OCI layout, or a tar of a root filesystem")
    sources.add_argument("--lock", metavar="FILE", type=Path, help="what the parts must be: edgequant image lock")
    add_sources(sources)
    parser.set_defaults(act=_build)


def configure_lock(parser: ArgumentParser) -> None:
    """Add the arguments of ``lock``."""
    _add_platform(parser, "both")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the lock, JSON")
    add_sources(parser)
    parser.set_defaults(act=_lock)


def _add_platform(parser: ArgumentParser, default: str) -> None:
    named = ",".join(PLATFORMS)
    parser.add_argument("--platform", metavar="LIST", type=_platforms, help=f"{named} or one (default: {default})")


def add_sources(parser: "_ActionsContainer") -> None:
    """Add where wheels come from and where downloads are kept."""
    parser.add_argument("--wheelhouse", metavar="DIR", type=Path, help="a folder of wheels, instead of pip's index")
    parser.add_argument("--cache", metavar="DIR", type=Path, help="of downloads (default: in the user's cache)")


def _build(args: Namespace) -> int:
    out: Path = args.out
    refuse_existing_image(out, replace=args.force)
    write_image(_order(args), out, terminal.track, replace=args.force)
    with open_layout(out) as layout:
        image_report.show(layout, explained=args.explain, as_json=args.json)
    return 0


def _order(args: Namespace) -> Order:
    placed = place(args.bundles, args.bundle_for, args.platform)
    if not placed:
        raise UsageError("no bundle is named", hint="edgequant image BUNDLE... -o OUT")
    lock = read_lock(args.lock) if args.lock else None
    return Order(
        bundles=placed,
        sources=Sources(cache_folder(args), lock, args.wheelhouse),
        name=args.name or default_name(next(iter(placed.values()))[0].bundle.manifest.name),
        settings=Settings(args.compression, epoch()),
        slim=args.slim,
        base=args.base,
        labels=dict(args.label),
    )


def _lock(args: Namespace) -> int:
    store = Sources(cache_folder(args)).store
    parts = []
    for platform in args.platform or tuple(PLATFORMS.values()):
        packages = debs.newest(platform, store)
        python = python_of(packages, platform)
        parts += [*packages, *wheels.newest(platform, python, store, args.wheelhouse)]
    args.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_lock(make_lock(parts), args.out)
    terminal.err().print(f"{len(parts)} parts -> {args.out}", soft_wrap=True)
    return 0


def cache_folder(args: Namespace) -> Path:
    """Return where downloads are kept: where it was said, or in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME")
    return args.cache or (Path(home) if home else Path.home() / ".cache") / "edgequant/image"


def epoch() -> int:
    """Return the time that all files of an image get: SOURCE_DATE_EPOCH, or 0."""
    text = os.environ.get(_EPOCH, "0")
    if not re.fullmatch("[0-9]{1,11}", text):
        raise UsageError(f"{_EPOCH} is no number of seconds", got=repr(text), expected="seconds since 1970")
    return int(text)


def _name(text: str) -> str:
    try:
        return image_name(text)
    except UsageError as error:
        raise ArgumentTypeError(" ".join(str(error).split())) from None


def _platforms(text: str) -> tuple[Platform, ...]:
    try:
        return tuple(dict.fromkeys(platform_of(name) for name in text.split(",")))
    except UsageError as error:
        raise ArgumentTypeError(" ".join(str(error).split())) from None


def _bundle_for(text: str) -> tuple[Platform, Path]:
    name, _, folder = text.partition("=")
    if not folder:
        raise ArgumentTypeError(f"{text!r} is not OS/ARCH=BUNDLE")
    return _platforms(name)[0], Path(folder)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value
