"""A bundle as one file: a tar whose bytes depend on nothing but the bundle's."""

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, cast

import zstandard

from toolkit.atomic import whole_file
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
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(bundle.iterdir(), key=_order):
            entry = tarfile.TarInfo(path.name)
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                tar.addfile(entry, content)


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
