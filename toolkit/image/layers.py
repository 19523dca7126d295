"""Layers: tars whose bytes depend on nothing but paths, contents, links and which files are programs."""

import gzip
import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

import zstandard

from toolkit.archive import add

Compression = Literal["gzip", "zstd"]
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_BEST = {"gzip": 9, "zstd": 19}


@dataclass(frozen=True)
class Layer:
    """One layer in a layout: its blob, the digest of its tar before compression, and what made it."""

    media_type: str
    digest: str
    size: int  # bytes, compressed
    diff_id: str
    created_by: str


@dataclass(frozen=True)
class Settings:
    """How layers are written: ``epoch`` is every entry's time, in seconds since 1970; no ``level`` means the best."""

    compression: Compression = "gzip"
    epoch: int = 0
    level: int | None = None


class Digesting:
    """A writer that counts and digests what goes through."""

    def __init__(self, to: IO[bytes]) -> None:
        self.to, self.size, self.sha = to, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Pass bytes on."""
        self.sha.update(data)
        self.size += len(data)
        return self.to.write(data)

    def tell(self) -> int:
        """Return how many bytes went through."""
        return self.size

    def flush(self) -> None:
        """Pass on what is held back."""
        self.to.flush()

    @property
    def digest(self) -> str:
        """Return OCI's digest of what went through."""
        return f"sha256:{self.sha.hexdigest()}"


def write_layer(root: Path, paths: Iterable[Path], blobs: Path, settings: Settings, created_by: str) -> Layer:
    """Write files, folders and links of ``root`` as a layer into the folder ``blobs``; folders above come along.

    Entries are sorted; their owner is root, their modes are 755, 644 and, for /tmp, 1777.
    """
    names = {path.relative_to(root) for path in paths}
    names |= {PurePosixPath(above) for name in names for above in name.parents if above.parts}  # type: ignore[misc]
    partial = blobs / "layer.partial"
    with partial.open("wb") as raw:
        packed = Digesting(raw)
        with _compressed(packed, settings) as compressed:
            plain = Digesting(compressed)
            with tarfile.open(fileobj=cast(IO[bytes], plain), mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name in sorted(str(name) for name in names):
                    add(tar, root / name, name, settings.epoch)
    partial.replace(blobs / packed.digest.removeprefix("sha256:"))
    return Layer(f"{LAYER_TYPE}+{settings.compression}", packed.digest, packed.size, plain.digest, created_by)


@contextmanager
def _compressed(raw: Digesting, settings: Settings) -> Iterator[IO[bytes]]:
    level = _BEST[settings.compression] if settings.level is None else settings.level
    if settings.compression == "gzip":
        with gzip.GzipFile("", "wb", level, cast(IO[bytes], raw), mtime=0) as packed:
            yield cast(IO[bytes], packed)
    else:
        compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
        with compressor.stream_writer(cast(IO[bytes], raw), closefd=False) as writer:
            yield cast(IO[bytes], writer)
