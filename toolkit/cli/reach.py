"""How this machine reaches kernels that its CPU does not have: what the user's environment says about it."""

import os
from pathlib import Path

from toolkit.errors import EdgequantError
from toolkit.isa.choose import Reach
from toolkit.isa.place import Place


def reach() -> Reach:
    """Return the cache folder (XDG) and the emulator."""
    return Reach(cache_folder(), _emulate)


def cache_folder() -> Path:
    """Return edgequant's folder in the user's cache: https://specifications.freedesktop.org/basedir-spec/latest/."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "edgequant"


def _emulate(cpu_model: str) -> Place:
    raise EdgequantError(f"the CPU model {cpu_model} cannot be emulated by this version of edgequant")
