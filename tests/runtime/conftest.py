"""Bundles to run, written fresh for each test."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

import toolkit
from tests.runtime.tiny import LABELS, Parts
from toolkit.runtime import host


@pytest.fixture(params=["python", "capi"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine that is chosen where none is named: a test that uses this runs once on each."""
    monkeypatch.setattr(host, "_python_is_installed", lambda: request.param == "python")
    return request.param


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An embedding bundle that verifies."""
    return Parts().write(tmp_path / "bundle")


@pytest.fixture
def classifier_bundle(tmp_path: Path) -> Path:
    """A classification bundle that verifies."""
    return Parts(changes=dict(LABELS)).write(tmp_path / "classifier")


@pytest.fixture
def write_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Write a bundle with changed manifest fields."""

    def write(**changes: object) -> Path:
        return Parts(changes=changes).write(tmp_path / "changed")

    return write


@pytest.fixture
def device(tmp_path) -> Path:
    """A folder with the runtime, tokenizers, h11 and onnxruntime's shared library: all that a slim image has."""
    folder = tmp_path / "device"
    (folder / "toolkit").mkdir(parents=True)
    shutil.copytree(Path(toolkit.__file__).parent / "runtime", folder / "toolkit/runtime")
    shutil.copy(toolkit.__file__, folder / "toolkit")
    for name in ("tokenizers", "h11"):
        (folder / name).symlink_to(Path(find_spec(name).origin).parent)
    library = host.Host(engine="capi").library_path()
    (folder / "onnxruntime/capi").mkdir(parents=True)
    (folder / "onnxruntime/capi" / library.name).symlink_to(library)
    return folder
