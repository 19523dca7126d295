"""How this machine reaches kernels that its CPU does not have: what the user's environment says about it."""

import os
from argparse import ArgumentParser
from pathlib import Path

from toolkit.cli import terminal
from toolkit.cli.emulation import add_qemu
from toolkit.gate import Proven, proven
from toolkit.image.wheels import Kind
from toolkit.isa.choose import Reach, places
from toolkit.isa.cpu_models import cpu_model
from toolkit.isa.emulated import Emulator, emulated
from toolkit.targets import Verify


def add_on(parser: ArgumentParser) -> None:
    """Add ``--on``, and where QEMU is."""
    what = (
        "judge int8 on these kernels, proven by probes: target (those of the recipe), avx2, vnni, neon, dotprod, i8mm "
        "or a CPU model of QEMU (default: on this CPU as it is)"
    )
    parser.add_argument("--on", metavar="ISA", help=what)
    add_qemu(parser)


def place_to_judge_on(name: str | None, target: Verify, qemu: Path | None) -> Proven | None:
    """Return the place that ``--on`` names, proven, or None for this CPU; of more than one CPU model the first."""
    return None if name is None else proven(places([name], target, reach(qemu))[0])


def reach(qemu: Path | None = None, kind: Kind = "standard") -> Reach:
    """Return the cache folder (XDG) and the emulator of a runtime; ``qemu`` is a folder of QEMU's programs."""
    emulator = Emulator(cache_folder(), qemu, terminal.track, kind)
    return Reach(emulator.cache, lambda name: emulated(cpu_model(name), emulator))


def cache_folder() -> Path:
    """Return edgequant's folder in the user's cache: https://specifications.freedesktop.org/basedir-spec/latest/."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "edgequant"
