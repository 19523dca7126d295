import json

import pytest

from toolkit.errors import RecipeError
from toolkit.image.lock import SHIPPED, Part, make_lock, read_lock, write_lock
from toolkit.image.platforms import PLATFORMS
from toolkit.image.wheels import NAMES

DEB = Part("deb", "amd64", "zlib1g", "1:1.2", "zlib1g_1.2_amd64.deb", "a" * 64)
WHEEL = Part("wheel", "arm64", "numpy", "2.4.6", "numpy-2.4.6-cp311-cp311-x.whl", "b" * 64, "3.11")


def row(**changed):
    names = ("kind", "architecture", "name", "version", "file", "sha256")
    return {name: getattr(DEB, name) for name in names} | changed


def written(tmp_path, parts, schema=1):
    path = tmp_path / "lock.json"
    path.write_text(json.dumps({"schema": schema, "parts": parts}), encoding="utf-8")
    return path


def test_a_lock_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "lock.json"
    write_lock(make_lock([WHEEL, DEB, DEB]), path)
    assert read_lock(path).parts == (DEB, WHEEL)
    assert read_lock(path).of("wheel", "arm64") == (WHEEL,)
    assert not read_lock(path).of("wheel", "amd64")


def test_the_shipped_lock_has_the_runtime_for_every_platform():
    lock = read_lock(SHIPPED)
    for platform in PLATFORMS.values():
        named = {(part.python, part.name) for part in lock.of("wheel", platform.architecture)}
        assert {("3.11", name) for name in NAMES} <= named


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([row(sha256="A" * 64)], "cannot be"),
        ([row(file="../x.deb")], "cannot be"),
        ([row(kind="rpm")], "cannot be"),
        ([row(colour="red")], "strange one"),
        ([{"kind": "deb"}], "lacks a key"),
        ([row(version=1)], "no object of strings"),
        (["zlib1g"], "no object of strings"),
        ([row(), row(version="2")], "twice"),
        ("zlib1g", "no lock"),
    ],
)
def test_what_is_no_lock_is_refused(tmp_path, parts, words):
    with pytest.raises(RecipeError, match=words):
        read_lock(written(tmp_path, parts))


def test_a_lock_of_another_schema_or_no_json_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="no lock of this version"):
        read_lock(written(tmp_path, [], schema=2))
    path = tmp_path / "bad.json"
    path.write_bytes(b"\xff")
    with pytest.raises(RecipeError, match="not JSON"):
        read_lock(path)
