"""A bundle as one file: a tar whose bytes depend on nothing but the bundle's."""

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast

import zstandard

from toolkit.atomic import whole_file
from toolkit.errors import UsageError
from toolkit.runtime.manifest import OWN_FILES

Compression = Literal["gz", "zst"]


def archive_path(bundle: Path, compression: Compression) -> Path:
    """Return where the archive of a bundle's folder lies: beside it."""
    return bundle.with_name(f"{bundle.name}.tar.{compression}")


def write_archive(bundle: Path, out: Path, compression: Compression) -> None:
    """Write the bundle's folder as a tar: sorted, no times, no owners, so that equal bundles give equal bytes.

    The manifest comes first, then its digest and signature: who unpacks knows what to expect, and from whom.
    """
    with (
        whole_file(out) as beside,
        beside.open("wb") as raw,
        _compressed(raw, compression) as packed,
    ):
        write_bundle_tar(bundle, packed)


def write_bundle_tar(bundle: Path, out: IO[bytes]) -> None:
    """Write the bundle's folder as a tar that is not compressed."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(bundle.iterdir(), key=_order):
            add(tar, path, path.name)


def add(tar: tarfile.TarFile, path: Path, name: str, epoch: int = 0) -> None:
    """Add a file, a folder or a link: owned by root, of mode 755 or 644 (``tmp`` 1777), of time ``epoch``, in s."""
    entry = tarfile.TarInfo(name)
    entry.mtime = epoch
    if path.is_symlink():
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        tar.addfile(entry)
    elif path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
        tar.addfile(entry)
    elif path.is_file():
        entry.size, entry.mode = path.stat().st_size, 0o755 if path.stat().st_mode & 0o111 else 0o644
        with path.open("rb") as content:
            tar.addfile(entry, content)
    else:
        raise UsageError("an archive holds files, folders and links only", where=path)


def _order(path: Path) -> tuple[bool, str]:
    return path.name not in OWN_FILES, path.name


@contextmanager
def _compressed(raw: IO[bytes], compression: Compression) -> Iterator[IO[bytes]]:
    if compression == "gz":
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=9, mtime=0) as packed:
            yield cast(IO[bytes], packed)
    else:
        with zstandard.ZstdCompressor(level=10, write_checksum=True).stream_writer(raw, closefd=False) as writer:
            yield cast(IO[bytes], writer)
