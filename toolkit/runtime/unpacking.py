"""A bundle's archive, unpacked: nothing but the manifest is read before it has said what else there may be."""

import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.manifest import CHECKSUM, FILE_NAME, OWN_FILES, check_manifest
from toolkit.runtime.signature import check_signature
from toolkit.runtime.tarstream import Entry, Limits, Source, TarStream
from toolkit.runtime.tensor_manifest import AnyManifest, read_manifest

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

_MANIFEST_BYTES = 16 << 20
_OWN_BYTES = 1 << 14  # what the signature or the checksum may be
_PER_ENTRY = 1024  # header and padding
_END = 1 << 14  # two blocks of zeros, and what fills the last record


def unpack(archive: Path, out: Path, public_key: bytes | None = None) -> AnyManifest:
    """Unpack a bundle's ``.tar`` or ``.tar.gz`` into the new folder ``out``, whole or not at all.

    With ``public_key``, the PEM of an ed25519 key, the signature is checked before any file but the manifest is read.
    UsageError for what does not exist or is in the way; BundleError for an archive that is no bundle, that is altered,
    not signed so, or that holds anything beside the manifest's files.
    """
    with opened(archive, _no_zstd) as source:
        return unpack_from(source, archive, out, public_key)


def unpack_from(source: Source, where: object, out: Path, public_key: bytes | None = None) -> AnyManifest:
    """Unpack a bundle from the bytes of a tar; see ``unpack``."""
    if os.path.lexists(out):
        raise UsageError("the output exists", where=out, hint="choose another name, or remove it yourself")
    out.parent.mkdir(parents=True, exist_ok=True)
    with beside(out) as partial:
        partial.mkdir(0o700)
        tar = TarStream(source, Limits(_MANIFEST_BYTES + _PER_ENTRY, 1), where)
        manifest = _Bundle(tar, partial, public_key).unpack()
        partial.chmod(0o755)
        sync(partial)
        partial.rename(out)
        sync(out.parent)
    return manifest


def name_beside(out: Path) -> Path:
    """Return a new path beside ``out``, chosen before anything is there: a signal that unwinds then leaves nothing."""
    return out.parent / f".{out.name}.partial-{os.urandom(6).hex()}"


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Give a new path beside ``out`` for what becomes it; what is still there in the end goes away."""
    partial = name_beside(out)
    try:
        yield partial
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


@contextmanager
def opened(archive: Path, zstd: Callable[[BinaryIO, Path], Source]) -> Iterator[Source]:
    """Open a ``.tar``, ``.tar.gz`` or, by ``zstd``, a ``.tar.zst``, as its first bytes say; it is read as a stream."""
    if not archive.is_file():
        raise UsageError("there is no such archive", where=archive)
    with archive.open("rb") as raw:
        head = raw.read(4)
        raw.seek(0)
        if head == ZSTD:
            yield zstd(raw, archive)
            return
        source: Source = gzip.GzipFile(fileobj=raw, mode="rb") if head.startswith(GZIP) else raw
        try:
            yield source
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            hint = "the copy is incomplete or altered: copy it again"
            raise BundleError("the archive cannot be decompressed", where=archive, got=error, hint=hint) from None


def _no_zstd(_raw: BinaryIO, archive: Path) -> Source:
    hint = "edgequant unpack reads it where edgequant[quantize] is installed; edgequant quantize --archive gz writes gz"
    raise UsageError("a .tar.zst is not read here", where=archive, expected=".tar.gz or .tar", hint=hint)


class _Bundle:
    """One bundle on its way from a stream to a folder."""

    def __init__(self, tar: TarStream, folder: Path, public_key: bytes | None) -> None:
        self.tar = tar
        self.folder = folder
        self.public_key = public_key

    def unpack(self) -> AnyManifest:
        entries = self.tar.entries()
        first = next(entries, None)
        if first is None or str(first.path) != FILE_NAME:
            got = first.path if first else "an empty archive"
            hint = "edgequant quantize --archive writes it so; for an image, use edgequant image unpack"
            self.tar.refuse("the archive is no bundle's", got=got, expected=f"{FILE_NAME} first", hint=hint)
        data = self._read(first, _MANIFEST_BYTES)
        manifest = read_manifest(data, f"{self.tar.where}: {FILE_NAME}")
        self._make_room(manifest)
        (self.folder / FILE_NAME).write_bytes(data)
        trusted = False
        left, own = set(manifest.files), set(OWN_FILES) - {FILE_NAME}
        for entry in entries:
            name = str(entry.path)
            if name in own and len(left) == len(manifest.files):
                own.remove(name)
                (self.folder / name).write_bytes(self._read(entry, _OWN_BYTES))
            elif name not in left:
                got = f"{name!r} again" if name in (*manifest.files, *OWN_FILES) else repr(name)
                self.tar.refuse("the archive holds what the manifest does not list", got=got)
            else:
                trusted = trusted or self._vouched(data)
                self._write(entry, manifest)
                left.remove(name)
        if left:
            self.tar.refuse("files of the bundle are not in the archive", got=", ".join(sorted(left)))
        for path in self.folder.iterdir():
            path.chmod(0o644)
            sync(path)
        return manifest

    def _vouched(self, manifest: bytes) -> bool:
        """Check what the archive holds about the manifest, before any other file of it is read."""
        checksum = self.folder / CHECKSUM
        if checksum.exists():
            check_manifest(manifest, checksum.read_bytes(), f"{self.tar.where}: {CHECKSUM}")
        if self.public_key is not None:
            check_signature(self.folder, self.public_key, self.tar.where)
        return True

    def _make_room(self, manifest: AnyManifest) -> None:
        """Let the archive hold what its manifest lists, if this disk can, and not a block more."""
        sizes = sum(info.bytes for info in manifest.files.values())
        free = shutil.disk_usage(self.folder).free
        if sizes > free:
            hint = "free some space, or unpack elsewhere"
            self.tar.refuse("the bundle does not fit on this disk", got=f"{free} bytes free", expected=sizes, hint=hint)
        entries = len(OWN_FILES) + len(manifest.files)
        self.tar.allow(Limits(sizes + _MANIFEST_BYTES + entries * _PER_ENTRY + _END, entries))
        folded = {name.casefold() for name in (*OWN_FILES, *manifest.files)}
        if len(folded) < entries:
            got = ", ".join(sorted(manifest.files))
            self.tar.refuse("two names of the manifest differ by upper and lower case only", got=got)

    def _read(self, entry: Entry, most: int) -> bytes:
        self._require_file(entry)
        if entry.size > most:
            self.tar.refuse(f"{entry.path} is too large", got=f"{entry.size} bytes", expected=f"at most {most}")
        return b"".join(self.tar.content())

    def _write(self, entry: Entry, manifest: AnyManifest) -> None:
        self._require_file(entry)
        info = manifest.files[str(entry.path)]
        if entry.size != info.bytes:
            self.tar.refuse(f"{entry.path} has the wrong size", got=f"{entry.size} bytes", expected=info.bytes)
        digest = hashlib.sha256()
        with (self.folder / entry.path).open("xb") as handle:
            for piece in self.tar.content():
                digest.update(piece)
                handle.write(piece)
        if digest.hexdigest() != info.sha256:
            hint = "the archive is altered: copy it again"
            self.tar.refuse(f"{entry.path} is not what the manifest says", got=digest.hexdigest(), hint=hint)

    def _require_file(self, entry: Entry) -> None:
        if entry.kind != "file":
            self.tar.refuse("a bundle has files only", got=f"{str(entry.path)!r} is a {entry.kind}")


def sync(path: Path) -> None:
    """Make what was written to a file or a folder last over a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
