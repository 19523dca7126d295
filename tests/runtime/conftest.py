"""Bundles to run, written fresh for each test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.tiny import LABELS, Parts


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
