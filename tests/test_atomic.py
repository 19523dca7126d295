"""Whole or not at all: what is under the final name, and what is left beside it."""

import os
from pathlib import Path

import pytest

from toolkit.atomic import refuse_existing, whole_file, whole_folder
from toolkit.errors import UsageError


class StopError(Exception):
    """What ends a block in the middle."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def bundle(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text(text)
    return folder


def fill(whole, name: str, stop: type[BaseException]) -> None:
    """Write half of something and stop."""
    with whole as beside:
        (beside / name if name else beside).write_text("half")
        raise stop


def test_a_folder_gets_its_name_at_the_end(tmp_path):
    out = tmp_path / "deep" / "b"
    with whole_folder(out, replace=False) as beside:
        (beside / "f").write_text("x")
        assert beside.parent == out.parent  # the same file system, so that a rename is one step
        assert not out.exists()
    assert names(out.parent) == ["b"]
    assert (out / "f").read_text() == "x"


def test_modes_do_not_depend_on_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        with whole_folder(tmp_path / "b", replace=False) as beside:
            (beside / "f").write_text("x")
        with whole_file(tmp_path / "a") as path:
            path.write_text("x")
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("b", "b/f", "a")]
    assert modes == [0o755, 0o644, 0o644]


@pytest.mark.parametrize("stop", [StopError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("replace", [False, True])
def test_a_stop_leaves_what_was_there_and_nothing_else(tmp_path, stop, replace):
    if replace:
        bundle(tmp_path / "b", "old")
        (tmp_path / "a").write_text("old")
    before = names(tmp_path)
    with pytest.raises(stop):
        fill(whole_folder(tmp_path / "b", replace=replace), "f", stop)
    with pytest.raises(stop):
        fill(whole_file(tmp_path / "a"), "", stop)
    assert names(tmp_path) == before
    if replace:
        assert (tmp_path / "b" / "manifest.json").read_text() == "old"
        assert (tmp_path / "a").read_text() == "old"


def test_a_bundle_is_replaced_whole(tmp_path):
    out = bundle(tmp_path / "b", "old")
    (out / "stale").write_text("old")
    with whole_folder(out, replace=True) as beside:
        (beside / "manifest.json").write_text("new")
        assert (out / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["b"]
    assert names(out) == ["manifest.json"]
    assert (out / "manifest.json").read_text() == "new"


def test_what_cannot_come_back_is_not_removed(tmp_path, monkeypatch):
    bundle(tmp_path / "b", "old")
    rename = Path.rename

    def once(path, to):
        if not (tmp_path / "b").exists():
            raise KeyboardInterrupt  # between the two renames, and again when the old one shall come back
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "b", replace=True) as beside:
        (beside / "manifest.json").write_text("new")
    assert [path.read_text() for path in tmp_path.glob(".b.partial-*/b/manifest.json")] == ["old"]


def test_what_came_in_the_meantime_is_not_overwritten(tmp_path):
    def build():
        with whole_folder(tmp_path / "b", replace=False) as beside:
            (beside / "manifest.json").write_text("mine")
            bundle(tmp_path / "b", "theirs")

    with pytest.raises(UsageError, match="the output exists"):
        build()
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b" / "manifest.json").read_text() == "theirs"


def test_what_may_be_replaced(tmp_path):
    refuse_existing(tmp_path / "new" / "b", replace=False)
    refuse_existing(bundle(tmp_path / "b", "old"), replace=True)
    (tmp_path / "empty").mkdir()
    refuse_existing(tmp_path / "empty", replace=True)


def test_what_may_not(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for out, replace, said in (
        (bundle(tmp_path / "b", "old"), False, "say --force"),
        (tmp_path / "dangling", False, "say --force"),
        (tmp_path / "dangling", True, "not a bundle"),
        (tmp_path / "file", True, "not a bundle"),
        (tmp_path, True, "not a bundle"),
        (tmp_path / "file" / "b", False, "cannot lie in a file"),
        (tmp_path / "file" / "deep" / "b", True, "cannot lie in a file"),
    ):
        with pytest.raises(UsageError, match=said) as refused:
            refuse_existing(out, replace=replace)
        assert "hint: " in str(refused.value)
