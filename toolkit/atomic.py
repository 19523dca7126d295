"""Folders and files that are there whole or not at all: written beside, synced, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.runtime.unpacking import beside, name_beside, sync

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
    with whole_tree(out, replace=replace) as partial:
        yield partial
        for path in partial.iterdir():
            path.chmod(0o644)
            sync(path)


@contextmanager
def whole_tree(out: Path, *, replace: bool, mark: str = BUNDLE_MARK) -> Iterator[Path]:
    """Do as ``whole_folder``, for folders in folders and links: what lies inside keeps its modes."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with beside(out) as partial:
        partial.mkdir(0o700)
        yield partial
        partial.chmod(0o755)
        sync(partial)
        refuse_existing(out, replace=replace, mark=mark)
        _rename(partial, out)
        sync(out.parent)


@contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """Yield a path beside ``out`` to write to; it gets the name when the block ends well, and goes away when not."""
    with beside(out) as partial:
        partial.touch(0o600, exist_ok=False)
        yield partial
        partial.chmod(0o644)
        sync(partial)
        partial.replace(out)
        sync(out.parent)


def _require_folder(out: Path) -> None:
    above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise UsageError("the output cannot lie in a file", where=out, got=f"{above} is a file", hint="name a folder")


def _rename(partial: Path, out: Path) -> None:
    if not os.path.lexists(out):
        partial.rename(out)
        return
    old = name_beside(out)
    try:
        old.mkdir(0o700)
        out.rename(old / out.name)
        partial.rename(out)
    finally:
        if not os.path.lexists(out):  # an error or a signal came between the two: what stood there comes back
            (old / out.name).rename(out)
        shutil.rmtree(old, ignore_errors=True)  # not where it could not come back
