"""``edgequant image``: OCI images of bundles, built, looked at, unpacked and pushed without a daemon."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli import IMAGE_ACTIONS, image_report, terminal
from toolkit.cli.image_build import configure_build, configure_lock
from toolkit.errors import ImageError
from toolkit.image.push import push
from toolkit.image.reading import open_layout
from toolkit.image.signing import check_image
from toolkit.trust.unpack import unpack_layers

if TYPE_CHECKING:
    from collections.abc import Callable


def configure(parser: ArgumentParser) -> None:
    """Add what can be done with an image, each with its arguments."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    described: dict[str, tuple[str, Callable[[ArgumentParser], None]]] = {
        "build": ("build an image of bundles (what `edgequant image BUNDLE...` does)", configure_build),
        "inspect": ("show an image's platforms, layers and parts", _configure_inspect),
        "verify": ("recompute every digest and size of an image", _configure_verify),
        "unpack": ("verify an image, then unpack one platform's root filesystem", _configure_unpack),
        "push": ("verify an image, then push it to a registry with skopeo", _configure_push),
        "lock": ("write down the packages and wheels that are newest now", configure_lock),
    }
    for name in IMAGE_ACTIONS:
        what, add = described[name]
        add(actions.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}."))


def run(args: Namespace) -> int:
    """Do what was asked for."""
    code: int = args.act(args)
    return code


def _add_image(parser: ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", type=Path, help="an OCI layout's folder, or a .tar of one")


def _add_key(parser: ArgumentParser) -> None:
    parser.add_argument("--key", metavar="PUB", type=Path, help="require a signature by this public key's owner")


def _check_signature(args: Namespace, digest: str) -> None:
    if args.key:
        check_image(args.image, digest, args.key.read_bytes())


def _configure_inspect(parser: ArgumentParser) -> None:
    _add_image(parser)
    parser.add_argument("--explain", action="store_true", help="show megabytes by part")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(act=_inspect)


def _inspect(args: Namespace) -> int:
    with open_layout(args.image) as layout:
        image_report.show(layout, explained=args.explain, as_json=args.json)
    return 0


def _configure_verify(parser: ArgumentParser) -> None:
    _add_image(parser)
    parser.add_argument("--digest", metavar="SHA256", help="what the image's digest must be, as build printed it")
    _add_key(parser)
    parser.set_defaults(act=_verify)


def _verify(args: Namespace) -> int:
    with open_layout(args.image) as layout:
        if args.digest not in (None, layout.digest):
            raise ImageError("this is another image", where=args.image, got=layout.digest, expected=args.digest)
        _check_signature(args, layout.digest)
        platforms = ", ".join(image.platform for image in layout.images)
        terminal.out().print(f"{layout.digest}  {layout.name}  {platforms}: every digest is right", soft_wrap=True)
    return 0


def _configure_unpack(parser: ArgumentParser) -> None:
    _add_image(parser)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="the new folder")
    parser.add_argument("--platform", metavar="OS/ARCH", help="which, where the image has several")
    _add_key(parser)
    parser.set_defaults(act=_unpack)


def _unpack(args: Namespace) -> int:
    with open_layout(args.image) as layout:
        _check_signature(args, layout.digest)
        image = layout.image(args.platform)
        unpack_layers([layout.blob(layer.digest) for layer in image.layers], args.out)
    terminal.err().print(f"{image.platform} -> {args.out}", soft_wrap=True)
    return 0


def _configure_push(parser: ArgumentParser) -> None:
    _add_image(parser)
    parser.add_argument("reference", metavar="HOST/NAME:TAG", help="where to; log in with skopeo login")
    parser.add_argument("--insecure", action="store_true", help="plain HTTP, or a certificate that nobody vouches for")
    parser.set_defaults(act=_push)


def _push(args: Namespace) -> int:
    digest = push(args.image, args.reference, insecure=args.insecure)
    terminal.out().print(f"{digest}  {args.reference}", soft_wrap=True)
    return 0
