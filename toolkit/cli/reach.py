"""How this machine reaches kernels that its CPU does not have: what the user's environment says about it."""

import os
from pathlib import Path

from toolkit.cli import terminal
from toolkit.isa.choose import Reach
from toolkit.isa.cpu_models import cpu_model
from toolkit.isa.emulated import Emulator, emulated


def reach(qemu: Path | None = None) -> Reach:
    """Return the cache folder (XDG) and the emulator; ``qemu`` is a folder of QEMU's programs."""
    emulator = Emulator(cache_folder(), qemu, terminal.track)
    return Reach(emulator.cache, lambda name: emulated(cpu_model(name), emulator))


def cache_folder() -> Path:
    """Return edgequant's folder in the user's cache: https://specifications.freedesktop.org/basedir-spec/latest/."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "edgequant"
