"""Archives and image layers that nobody vouches for, unpacked: nothing gets out of the folder, nothing grows on."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import zstandard

from toolkit.atomic import whole_tree
from toolkit.errors import BundleError, UsageError
from toolkit.runtime.tarstream import Entry, Limits, TarStream
from toolkit.runtime.tensor_manifest import AnyManifest
from toolkit.runtime.unpacking import opened, unpack_from

LAYER_LIMITS = Limits(bytes=4 << 30, entries=200_000, extended=True)
"""What one image layer may come to unless the caller knows better."""

_ZSTD_WINDOW = 1 << 27  # bytes of memory; what `zstd -d` allows unless it is told
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MOST_LINKS = 40  # as Linux follows in one path


def unpack_bundle(archive: Path, out: Path, public_key: bytes | None = None) -> AnyManifest:
    """Unpack a bundle's ``.tar``, ``.tar.gz`` or ``.tar.zst``; see ``toolkit.runtime.unpacking.unpack``."""
    with opened(archive, Zstd) as source:
        return unpack_from(source, archive, out, public_key)


def unpack_layers(layers: Sequence[Path], out: Path, limits: Limits = LAYER_LIMITS) -> None:
    """Unpack image layers, the lowest first, into the new folder ``out``, whole or not at all."""
    if os.path.lexists(out):
        raise UsageError("the output exists", where=out, hint="choose another name, or remove it yourself")
    with whole_tree(out, replace=False) as folder:
        for layer in layers:
            unpack_layer(layer, folder, limits)


def unpack_layer(layer: Path, folder: Path, limits: Limits = LAYER_LIMITS) -> None:
    """Unpack one layer, ``.tar``, gzip or zstd by its bytes, onto what lies in ``folder``.

    Nothing is written, linked or removed outside ``folder``, whatever links the layer or those below it hold: links
    are followed as they would be with ``folder`` as the root. Files, folders and links only; permission bits are kept
    (no set-user-id), owners and times are not. Whiteouts remove what lower layers left:
    https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts.
    BundleError for all that does not fit; the folder is then half done, so unpack into one that can go.
    """
    with opened(layer, Zstd) as source:
        _Layer(TarStream(source, limits, layer), folder).unpack()


class Zstd:
    """A zstd file as a stream; what zstandard raises becomes BundleError."""

    def __init__(self, raw: BinaryIO, archive: Path) -> None:
        self.archive = archive
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self.reader = decompressor.stream_reader(raw, read_across_frames=True, closefd=False)

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes."""
        try:
            return self.reader.read(size)
        except zstandard.ZstdError as error:
            hint = "the copy is incomplete or altered: copy it again"
            raise BundleError("the archive cannot be decompressed", where=self.archive, got=error, hint=hint) from None


class _Layer:
    """One layer on its way into a folder."""

    def __init__(self, tar: TarStream, root: Path) -> None:
        self.tar = tar
        self.root = root.resolve()
        self.seen: set[Path] = set()
        self.modes: dict[Path, int] = {}

    def unpack(self) -> None:
        for entry in self.tar.entries():
            if not entry.path.parts:  # "./"
                continue
            if entry.path.name.startswith(_WHITEOUT):
                self.remove(entry.path)
            else:
                self.write(entry)
        for folder, mode in self.modes.items():  # last: a folder may forbid writing into it
            folder.chmod(mode)

    def write(self, entry: Entry) -> None:
        path = self.place(entry.path.parent) / entry.path.name
        if entry.kind == "folder":
            self.make_folder(path)
            self.modes[path] = entry.mode | 0o700
            return
        if path in self.seen or (path.is_dir() and self.ours(path)):
            self.tar.refuse("the layer holds a path twice", got=repr(str(entry.path)))
        self.seen.add(path)
        self.clear(path)
        if entry.kind == "symlink":
            self.check_target(entry)
            path.symlink_to(entry.target)
        elif entry.kind == "hardlink":
            self.hardlink(path, entry)
        else:
            with path.open("xb") as handle:
                for piece in self.tar.content():
                    handle.write(piece)
            path.chmod(entry.mode)

    def hardlink(self, path: Path, entry: Entry) -> None:
        target = PurePosixPath(entry.target.lstrip("/"))
        source = self.place(target.parent) / target.name if ".." not in target.parts and target.parts else self.root
        if source.is_symlink() or not source.is_file():
            got = f"{str(entry.path)!r} -> {entry.target!r}"
            self.tar.refuse("a hard link of the layer leads to no file of it", got=got)
        path.hardlink_to(source)

    def check_target(self, entry: Entry) -> None:
        """Refuse a relative link that climbs out; an absolute one means the image's own root."""
        depth = len(entry.path.parent.parts)
        for part in entry.target.split("/") if not entry.target.startswith("/") else ():
            depth += -1 if part == ".." else part not in ("", ".")
            if depth < 0:
                got = f"{str(entry.path)!r} -> {entry.target!r}"
                self.tar.refuse("a symbolic link of the layer leads out of its folder", got=got)

    def remove(self, whiteout: PurePosixPath) -> None:
        """Remove what lower layers left, and nothing of this one."""
        folder = self.place(whiteout.parent)
        named = folder / whiteout.name.removeprefix(_WHITEOUT)
        for path in list(folder.iterdir()) if whiteout.name == _OPAQUE else [named]:
            if path == folder or path.name == "..":
                self.tar.refuse("a whiteout of the layer names nothing", got=repr(str(whiteout)))
            if not self.ours(path):
                self.clear(path)

    def ours(self, path: Path) -> bool:
        """Tell whether this layer wrote a path, or something under it."""
        under = path.is_dir() and not path.is_symlink()
        made = self.seen | self.modes.keys()
        return path in made or (under and any(each.is_relative_to(path) for each in made))

    def place(self, folder: PurePosixPath) -> Path:
        """Return where a folder of the layer lies, its links followed inside the root; made where it is missing."""
        here, left, links = self.root, list(reversed(folder.parts)), 0
        while left:
            part = left.pop()
            if part == "..":
                here = here.parent if here != self.root else here
                continue
            path = here / part
            if not path.is_symlink():
                self.make_folder(path)
                here = path
                continue
            links += 1
            if links > _MOST_LINKS:
                self.tar.refuse("a path of the layer goes through too many links", got=repr(str(folder)))
            target = PurePosixPath(os.readlink(path))  # noqa: PTH115 - Path.readlink would normalise it
            if target.is_absolute():
                here, target = self.root, target.relative_to("/")
            left.extend(reversed(target.parts))
        return here

    def make_folder(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            return
        if os.path.lexists(path):
            if path in self.seen:
                self.tar.refuse("a path of the layer is both a file and a folder", got=repr(path.name))
            self.clear(path)
        path.mkdir(mode=0o755)

    def clear(self, path: Path) -> None:
        """Remove what a lower layer left where this one puts something else."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
