"""What the tests of emulation share: root filesystems kept in the user's cache, and skips that say why."""

import os
from functools import cache
from pathlib import Path

import pytest

from toolkit.errors import EdgequantError
from toolkit.isa.cpu_models import cpu_model
from toolkit.isa.emulated import Emulator, emulated
from toolkit.isa.place import Place

EMULATOR = Emulator(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgequant")


@cache
def place(name: str, *, plugins: bool = False) -> Place | str:
    try:
        return emulated(cpu_model(name), EMULATOR, plugins=plugins)
    except EdgequantError as error:
        return str(error)


def emulated_or_skip(name: str, *, plugins: bool = False) -> Place:
    """Return the place of a CPU model; skip where QEMU or the packages of its root filesystem cannot be had."""
    found = place(name, plugins=plugins)
    if isinstance(found, str):
        pytest.skip(f"{name} cannot be emulated here: {found}")
    return found
