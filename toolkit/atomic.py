"""Folders and files that are there whole or not at all: written beside, synced, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.runtime.unpacking import sync

BUNDLE_MARK = "manifest.json"


def refuse_existing(out: Path, *, replace: bool, mark: str = BUNDLE_MARK) -> None:
    """Raise UsageError where ``out`` exists and may not be replaced, is no edgequant output, or can never be.

    ``mark`` is the file by which a folder shows that it is such an output.
    """
    if not os.path.lexists(out):
        _require_folder(out)
        return
    if not replace:
        raise UsageError("the output exists", where=out, hint="choose another name, or say --force to replace it")
    empty = out.is_dir() and not any(out.iterdir())
    if not empty and not (out / mark).is_file():
        raise UsageError(
            f"the output is not {'a bundle' if mark == BUNDLE_MARK else 'an image'} that --force may replace",
            where=out,
            hint="choose another name, or remove it yourself",
        )


@contextmanager
def whole_folder(out: Path, *, replace: bool) -> Iterator[Path]:
    """Yield an empty folder beside ``out`` that gets its name when the block ends well, and goes away when not."""
    with whole_tree(out, replace=replace) as beside:
        yield beside
        for path in beside.iterdir():
            path.chmod(0o644)
            sync(path)


@contextmanager
def whole_tree(out: Path, *, replace: bool, mark: str = BUNDLE_MARK) -> Iterator[Path]:
    """Do as ``whole_folder``, for folders in folders and links: what lies inside keeps its modes."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        yield beside
        beside.chmod(0o755)
        sync(beside)
        refuse_existing(out, replace=replace, mark=mark)
        _rename(beside, out)
        sync(out.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """Yield a path beside ``out`` to write to; it gets the name when the block ends well, and goes away when not."""
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.partial-", dir=out.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o644)
        sync(beside)
        beside.replace(out)
        sync(out.parent)
    finally:
        beside.unlink(missing_ok=True)


def _require_folder(out: Path) -> None:
    above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise UsageError("the output cannot lie in a file", where=out, got=f"{above} is a file", hint="name a folder")


def _rename(beside: Path, out: Path) -> None:
    if not os.path.lexists(out):
        beside.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        out.rename(old / out.name)
        beside.rename(out)
    finally:
        if not os.path.lexists(out):  # an error or a signal came between the two: what stood there comes back
            (old / out.name).rename(out)
        shutil.rmtree(old, ignore_errors=True)
