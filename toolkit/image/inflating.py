"""A compressed layer read as its tar, with its digests, and how far the reader has come in the compressed file."""

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import zstandard

from toolkit.errors import ImageError
from toolkit.image.layers import LAYER_TYPE

_PIECE = 1 << 12
_WINDOW = 1 << 27  # bytes of memory that a zstd frame may ask for


class Inflating:
    """The tar inside a layer: ``consumed`` bytes of the file and ``produced`` bytes of the tar have gone by."""

    def __init__(self, raw: BinaryIO, media_type: str, where: Path) -> None:
        self._raw, self._where = raw, where
        self._inflate, self._ended = _decompressor(media_type, where)
        self._buffer = b""
        self._sha = hashlib.sha256()
        self.consumed = self.produced = 0

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end; ImageError for what cannot be decompressed."""
        while len(self._buffer) < size:
            piece = self._raw.read(_PIECE)
            if not piece:
                break
            self.consumed += len(piece)
            try:
                self._buffer += self._inflate(piece)
            except (zlib.error, zstandard.ZstdError, EOFError) as error:
                raise ImageError("a layer cannot be decompressed", where=self._where, got=error) from None
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        self._sha.update(found)
        self.produced += len(found)
        return found

    def finish(self) -> str:
        """Read what is left and return the digest of the whole tar; ImageError where the compressed data has no end."""
        while self.read(1 << 20):
            pass
        if not self._ended():
            raise ImageError("a layer ends too early, or goes on after its end", where=self._where)
        return f"sha256:{self._sha.hexdigest()}"


def _decompressor(media_type: str, where: Path) -> tuple[Callable[[bytes], bytes], Callable[[], bool]]:
    kind = media_type.removeprefix(LAYER_TYPE)
    if kind == "+gzip":
        inflate = zlib.decompressobj(wbits=31)
        return inflate.decompress, lambda: inflate.eof and not inflate.unused_data
    if kind == "+zstd":
        frames = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        return frames.decompress, lambda: frames.eof and not frames.unused_data
    if kind == "":
        return lambda piece: piece, lambda: True
    raise ImageError("a layer is of a type that is not read here", where=where, got=media_type)
