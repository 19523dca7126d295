"""Which kernels this machine can run a bundle on, by which way, and what the other ways lack."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from toolkit.errors import EdgequantError
from toolkit.isa import qemu
from toolkit.isa.cpu_models import MODELS
from toolkit.isa.masked import why_not_masked
from toolkit.isa.native import why_not_native
from toolkit.isa.place import How
from toolkit.isa.roots import root_path
from toolkit.targets import Isa

ONLY_AVX2 = "only avx2 can be had by masking"


@dataclass(frozen=True)
class Ability:
    """One kernel family: for each way, best first, why it is closed here (empty: open), and the CPU models to emulate.

    ``models`` are those that can be emulated here, ``others`` those that cannot, each with the reason.
    """

    isa: Isa
    closed: Mapping[How, str]
    models: tuple[str, ...]
    others: Mapping[str, str]

    @property
    def how(self) -> How | None:
        """The best way that is open, or None."""
        return next((how for how, reason in self.closed.items() if not reason), None)


def abilities(architecture: str, features: frozenset[str], folder: Path | None = None) -> tuple[Ability, ...]:
    """Return every family's ability on a CPU; ``folder`` has QEMU's programs (None: the search path)."""
    return tuple(_ability(isa, architecture, features, folder) for isa in get_args(Isa))


def why_masking_is_closed(isa: Isa) -> str:
    """Return why a family cannot be had by masking; empty where it can."""
    return why_not_masked() if isa == "avx2" else ONLY_AVX2


def _ability(isa: Isa, architecture: str, features: frozenset[str], folder: Path | None) -> Ability:
    refused = {model.name: _why_not_emulated(model.name, folder) for model in MODELS.values() if model.family == isa}
    others = {name: reason for name, reason in refused.items() if reason}
    emulated = next(iter(others.values()), "QEMU has no CPU with these kernels") if len(others) == len(refused) else ""
    closed: dict[How, str] = {
        "native": why_not_native(isa, architecture, features),
        "masked": why_masking_is_closed(isa),
        "emulated": emulated,
    }
    return Ability(isa, closed, tuple(name for name in refused if name not in others), others)


def _why_not_emulated(name: str, folder: Path | None) -> str:
    try:
        qemu.find(MODELS[name], folder)
    except EdgequantError as error:
        return str(error)
    return ""


def why_not_counted(architecture: str, folder: Path | None = None) -> str:
    """Return why instructions of an architecture cannot be counted here; empty where they can."""
    model = next(each for each in MODELS.values() if each.architecture == architecture)
    try:
        qemu.find(model, folder, plugins=True)
    except EdgequantError as error:
        return str(error)
    return "" if shutil.which("gcc") else "the counting plugin needs a compiler\n  hint: apt install gcc libc6-dev"


def why_no_root(architecture: str, cache: Path) -> str:
    """Return why there can be no root filesystem for emulation; empty where it is kept or can be made."""
    lacking = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if root_path(architecture, cache).is_dir() or not lacking:
        return ""
    return f"the root filesystem is made of Debian packages, which needs {' and '.join(lacking)}"
