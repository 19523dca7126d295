"""What the tests of trust share: tars of any content, and keys."""

import gzip
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import zstandard

Entry = tuple[str | tarfile.TarInfo, bytes]


def tar_of(entries: Iterable[Entry], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return a tar of entries, each a name or a whole header, and its content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for named, data in entries:
            entry = named if isinstance(named, tarfile.TarInfo) else tarfile.TarInfo(named)
            if entry.isreg() and not entry.size:
                entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    """Return the header of what is no file."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, target, mode
    return entry


def write_packed(path: Path, data: bytes) -> Path:
    """Write a tar, compressed as the name says."""
    if path.suffix == ".gz":
        data = gzip.compress(data, compresslevel=1, mtime=0)
    elif path.suffix == ".zst":
        data = zstandard.ZstdCompressor(level=1).compress(data)
    path.write_bytes(data)
    return path


def snapshot(folder: Path) -> dict[str, object]:
    """Return all that lies under a folder, with modes, links' targets and contents."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        said = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(folder))] = (said.st_mode, said.st_mtime_ns, content)
    return found
