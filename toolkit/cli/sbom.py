"""``edgequant sbom``: what a bundle or an image is made of, as it says itself."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from toolkit.errors import BundleError
from toolkit.image.about import PLACE
from toolkit.image.reading import OpenLayout, open_layout
from toolkit.runtime.tarstream import TarStream
from toolkit.runtime.unpacking import opened
from toolkit.trust.provenance import PROVENANCE
from toolkit.trust.sbom import SBOM
from toolkit.trust.signing import open_whole
from toolkit.trust.unpack import LAYER_LIMITS, Zstd


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    what = "a bundle's folder, or an image: an OCI layout's folder, or a .tar of one"
    parser.add_argument("about", metavar="BUNDLE|IMAGE", type=Path, help=what)
    parser.add_argument("--platform", metavar="OS/ARCH", help="which, where the image has several")
    parser.add_argument("--provenance", action="store_true", help="print how it was made instead: in-toto, SLSA 1.0")


def run(args: Namespace) -> int:
    """Print the document, as it is, after a check of every digest."""
    name = PROVENANCE if args.provenance else SBOM
    if args.about.is_file() or (args.about / "oci-layout").is_file():
        with open_layout(args.about) as layout:
            data = _in_image(layout, args.platform, str(PLACE / name))
    else:
        folder = open_whole(args.about).folder
        data = (folder / name).read_bytes() if (folder / name).is_file() else b""
    if not data:
        raise BundleError(f"there is no {name} in it", where=args.about, hint="build it again with this edgequant")
    sys.stdout.write(data.decode())
    return 0


def _in_image(layout: OpenLayout, platform: str | None, name: str) -> bytes:
    for layer in reversed(layout.image(platform).layers):
        with opened(layout.blob(layer.digest), Zstd) as source:
            tar = TarStream(source, LAYER_LIMITS, layout.folder)
            for entry in tar.entries():
                if str(entry.path) == name:
                    return b"".join(tar.content())
    return b""
