"""A tar that nobody vouches for, read as a stream: every header is judged before a byte of its content is read.

tarfile reads a pax or GNU header of any length, and a sparse map of any length, into memory before a caller sees the
entry. So only the decoding of one header block is tarfile's here; what may follow is decided in this file.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from tarfile import BLOCKSIZE, TarInfo
from typing import Literal, NoReturn, Protocol

from toolkit.runtime.errors import BundleError

PIECE = 1 << 16
"""Bytes that are read at a time."""

Kind = Literal["file", "folder", "symlink", "hardlink"]

_KINDS: dict[bytes, Kind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}
_EXTENDED = {tarfile.XHDTYPE: "pax", tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_NAMES = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a fifo",
    tarfile.CONTTYPE: "a contiguous file",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.XGLTYPE: "a global pax header",
}
_EXTENDED_BYTES = 1 << 16
_LONGEST_NAME = 4096
_PADDING = 1 << 20  # zeros after the end; tar fills its last record (10 KiB), other writers a little more


@dataclass(frozen=True)
class Limits:
    """What an archive may come to: bytes of tar once decompressed, and entries; ``extended`` allows long names."""

    bytes: int
    entries: int
    extended: bool = False


@dataclass(frozen=True)
class Entry:
    """One entry: a relative path without ``..``, its content's size and its mode's permission bits."""

    path: PurePosixPath
    kind: Kind
    size: int
    mode: int
    target: str


class Source(Protocol):
    """Where the bytes come from: a file, or what decompresses one."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        ...


class TarStream:
    """The entries of a tar, in order; ``content`` gives the bytes of the one that came last."""

    def __init__(self, source: Source, limits: Limits, where: object) -> None:
        self.limits = limits
        self.where = where
        self._source = source
        self._read = 0
        self._left = 0  # of the entry's content
        self._pad = 0

    def allow(self, limits: Limits) -> None:
        """Set other limits, as soon as what was read says what to expect; counting goes on."""
        self.limits = limits

    def entries(self) -> Iterator[Entry]:
        """Yield every entry; BundleError at the first that is malformed, of a refused kind, or beyond the limits."""
        count, extended = 0, dict[str, str]()
        while (header := self._header()) is not None:
            if header.type in _EXTENDED:
                extended |= self._extended(header)
                continue
            count += 1
            if count > self.limits.entries:
                self.refuse("the archive has more entries than it may have", expected=f"at most {self.limits.entries}")
            entry = self._entry(header, extended)
            extended = {}
            self._left, self._pad = entry.size, -entry.size % BLOCKSIZE
            yield entry
            self._skip()
        if extended:
            self.refuse("the archive ends after the header of a long name")
        self._end()

    def content(self) -> Iterator[bytes]:
        """Yield the content of the last entry, in pieces."""
        while self._left:
            data = self._take(min(PIECE, self._left))
            self._left -= len(data)
            yield data

    def refuse(self, what: str, *, got: object = "", expected: object = "", hint: str = "") -> NoReturn:
        """Raise BundleError about this archive."""
        raise BundleError(what, where=self.where, got=got, expected=expected, hint=hint)

    def _header(self) -> TarInfo | None:
        block = self._take(BLOCKSIZE)
        try:
            header = TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            return None
        except (tarfile.HeaderError, ValueError) as error:
            self.refuse("the archive is no tar that can be read", got=error)
        if header.size < 0:
            self.refuse("an entry of the archive has a negative size", got=header.size)
        return header

    def _extended(self, header: TarInfo) -> dict[str, str]:
        """Read what a pax or GNU header says about the next entry."""
        if not self.limits.extended:
            self.refuse("the archive holds an extended header, which a bundle never needs", got=repr(header.type))
        if not 0 < header.size <= _EXTENDED_BYTES:
            expected = f"1 to {_EXTENDED_BYTES} bytes"
            self.refuse("an extended header of the archive is too large", got=header.size, expected=expected)
        self._left, self._pad = header.size, -header.size % BLOCKSIZE
        data = b"".join(self.content())
        self._skip()
        if header.type == tarfile.XHDTYPE:
            return self._pax(data)
        return {_EXTENDED[header.type]: data.rstrip(b"\0").decode("utf-8", "surrogateescape")}

    def _pax(self, data: bytes) -> dict[str, str]:
        """Read records of ``LENGTH KEY=VALUE`` and a line's end (POSIX.1-2001, pax interchange format)."""
        found: dict[str, str] = {}
        while data:
            digits, _, _ = data.partition(b" ")
            length = int(digits) if digits.isdigit() and len(digits) < 7 else 0
            record = data[len(digits) + 1 : length - 1]
            key, equals, value = record.partition(b"=")
            if not equals or data[length - 1 : length] != b"\n":
                self.refuse("a pax header of the archive is malformed", got=repr(data[:40]))
            name = key.decode("utf-8", "replace")
            if name.startswith("GNU.sparse"):
                self.refuse("the archive holds a sparse file", got=name)
            found[name] = value.decode("utf-8", "surrogateescape")
            data = data[length:]
        return found

    def _entry(self, header: TarInfo, extended: dict[str, str]) -> Entry:
        name = extended.get("path", header.name)
        if header.type not in _KINDS:
            got = f"{name!r} is {_NAMES.get(header.type, f'of type {header.type!r}')}"
            self.refuse("the archive holds what is neither file, folder nor link", got=got)
        kind = _KINDS[header.type]
        if header.type == tarfile.AREGTYPE and name.endswith("/"):
            kind = "folder"
        size = header.size
        if "size" in extended:
            digits = extended["size"]
            if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
                self.refuse("a pax header of the archive has no size that can be", got=repr(digits))
            size = int(digits)
        if kind != "file" and size:
            self.refuse(f"a {kind} of the archive has content", got=f"{name!r}, {size} bytes")
        if self._read + size > self.limits.bytes:
            self._too_large(size)
        target = extended.get("linkpath", header.linkname)
        if kind in ("symlink", "hardlink"):
            self._check_text(target)
        return Entry(self._path(name), kind, size, header.mode & 0o777, target)

    def _path(self, name: str) -> PurePosixPath:
        self._check_text(name)
        if name.startswith("/") or ".." in name.split("/"):
            self.refuse("a path in the archive leads out of its folder", got=repr(name))
        return PurePosixPath(name)

    def _check_text(self, name: str) -> None:
        if not name or "\0" in name or len(name) > _LONGEST_NAME:
            self.refuse("a path in the archive is empty, too long or has a zero byte", got=repr(name[:80]))

    def _skip(self) -> None:
        for _ in self.content():
            pass
        if self._pad:
            self._take(self._pad)
            self._pad = 0

    def _end(self) -> None:
        """Let nothing but zeros follow the end: what one reader takes for the end, another may read on."""
        seen = 0
        while data := self._source.read(PIECE):
            seen += len(data)
            if data.strip(b"\0") or seen > _PADDING:
                self.refuse("something follows the end of the archive", hint="the copy is altered: copy it again")

    def _take(self, size: int) -> bytes:
        if self._read + size > self.limits.bytes:
            self._too_large(size)
        parts: list[bytes] = []
        while size and (data := self._source.read(size)):
            parts.append(data)
            self._read += len(data)
            size -= len(data)
        if size:
            self.refuse("the archive ends too early", hint="the copy is incomplete: copy it again")
        return b"".join(parts)

    def _too_large(self, size: int) -> NoReturn:
        got = f"{self._read + size} bytes or more"
        self.refuse("the archive unpacks to more than it may", got=got, expected=f"at most {self.limits.bytes} bytes")
