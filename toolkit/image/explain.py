"""Megabytes of an image by part: what each costs on the disk and over the wire."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from toolkit.image.bundles import FOLDER
from toolkit.image.inflating import Inflating
from toolkit.image.reading import FoundImage, OpenLayout
from toolkit.image.rootfs import LIBRARY
from toolkit.runtime.tarstream import TarStream
from toolkit.trust.unpack import LAYER_LIMITS

_BLOCK = 4096  # how exactly the compressed size of one part is known


@dataclass(frozen=True)
class Part:
    """One part of an image, in bytes: its files, and its share of the compressed layers."""

    name: str
    files: int
    unpacked: int
    compressed: int


def explain(layout: OpenLayout, image: FoundImage) -> tuple[Part, ...]:
    """Return the parts, the largest first. Compressed sizes add up to the layers', each within a few KiB."""
    found: dict[str, list[int]] = {}
    for layer in image.layers:
        path = layout.blob(layer.digest)
        with path.open("rb") as raw:
            source = Inflating(raw, layer.media_type, path)
            before, name = 0, "other"
            for name, size, consumed in _entries(source, path):
                row = found.setdefault(name, [0, 0, 0])
                row[0] += 1
                row[1] += size
                row[2] += consumed - before
                before = consumed
            source.finish()
            found.setdefault(name, [0, 0, 0])[2] += source.consumed - before
    parts = [Part(name, *row) for name, row in found.items()]
    return tuple(sorted(parts, key=lambda part: (-part.unpacked, part.name)))


def _entries(source: Inflating, where: object) -> Iterator[tuple[str, int, int]]:
    """Yield each file's part, its size, and where its end lies in the compressed layer."""
    tar = TarStream(source, LAYER_LIMITS, where)
    for entry in tar.entries():
        if entry.kind == "file":
            for _ in tar.content():
                pass
            yield part_of(entry.path), entry.size, source.consumed


def part_of(path: PurePosixPath) -> str:
    """Return the name of the part that a file of an image belongs to."""
    parts = path.parts
    library = PurePosixPath(LIBRARY).parts
    if parts[: len(library)] == library and len(parts) > len(library):
        top = parts[len(library)]
        return top.split("-")[0] if top.endswith(".dist-info") else top.removesuffix(".libs").removesuffix(".pyc")
    if parts[0] == FOLDER and len(parts) > 2:
        return f"bundle {parts[1]}"
    if parts[:2] == ("usr", "lib") and len(parts) > 2 and parts[2].startswith("python3"):
        return "Python's standard library"
    if parts[:2] == ("usr", "bin") and parts[-1].startswith("python"):
        return "Python"
    if parts[:2] == ("usr", "lib") and ".so" in parts[-1]:
        return "system libraries"
    return "licences" if parts[:2] == ("usr", "share") else "other"
