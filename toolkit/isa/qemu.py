"""QEMU's user mode on this machine: which builds there are, which CPU models they know, and which take plugins."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from toolkit.errors import EdgequantError, UsageError
from toolkit.isa.cpu_models import MODELS, CpuModel

INSTALL = "sudo apt-get install qemu-user-static"
INSTALL_PLUGINS = (
    "sudo apt-get install qemu-user (Debian 12, Ubuntu 22.04 and 24.04), or unpack that package anywhere with dpkg -x "
    "and name its usr/bin by --qemu; Debian 13's takes no plugins"
)
NEWER = "Debian 12 has a newer one in bookworm-backports; unpack it with dpkg -x and name it by --qemu FOLDER"
_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# Interface 1 of QEMU's plugins, as count.c declares it: qemu-plugin.h of QEMU 4.2 to 8.2.
_PLUGINS_UNTIL = (9, 0)


@dataclass(frozen=True)
class Qemu:
    """One build of qemu-user for one guest architecture."""

    path: Path
    architecture: str
    version: tuple[int, int]
    models: frozenset[str]
    plugins: bool

    def knows(self, model: CpuModel) -> bool:
        """Return whether this build emulates the CPU model."""
        base = model.qemu.partition(",")[0]
        return model.architecture == self.architecture and base in self.models and self.version >= model.since

    def __str__(self) -> str:
        return f"{self.path.name} {'.'.join(map(str, self.version))}"


def find(model: CpuModel, folder: Path | None = None, *, plugins: bool = False) -> Qemu:
    """Return the first build that emulates ``model`` (and takes plugins), from ``folder`` or the search path.

    UsageError if there is none, with what to install.
    """
    found = builds(model.architecture, folder)
    if not found:
        names = " or ".join(_names(model.architecture))
        where = folder or "the search path"
        hint = INSTALL_PLUGINS if plugins else INSTALL
        raise UsageError(f"QEMU for {model.architecture} is not installed", where=where, expected=names, hint=hint)
    able = [each for each in found if each.knows(model)]
    if not able:
        raise UsageError(
            f"the QEMU that is installed does not know the CPU model {model.name}",
            got=", ".join(f"{each}: {_some(each)}" for each in found),
            expected=f"QEMU {'.'.join(map(str, model.since))} or newer",
            hint=f"{NEWER}{_instead(model, found)}",
        )
    fitting = [each for each in able if each.plugins or not plugins]
    if not fitting:
        got = ", ".join(map(str, able))
        raise UsageError("the QEMU that is installed takes no plugins", got=got, hint=INSTALL_PLUGINS)
    return fitting[0]


def builds(architecture: str, folder: Path | None = None) -> tuple[Qemu, ...]:
    """Return the builds of qemu-user for a guest architecture that can be run, static ones first."""
    return tuple(_examined(architecture, folder))


def _examined(architecture: str, folder: Path | None) -> Iterator[Qemu]:
    for name in _names(architecture):
        found = shutil.which(name, path=None if folder is None else str(folder))
        build = _examine(Path(found), architecture) if found else None
        if build:
            yield build


def _names(architecture: str) -> tuple[str, str]:
    machine = _MACHINES[architecture]
    return f"qemu-{machine}-static", f"qemu-{machine}"


@cache
def _examine(path: Path, architecture: str) -> Qemu | None:
    version = re.search(r"version (\d+)\.(\d+)", _said(path, "-version"))
    if not version:
        return None
    number = int(version[1]), int(version[2])
    models = frozenset(re.findall(r"[\w.-]+", _said(path, "-cpu", "help").partition("\n")[2]))  # after a heading
    # A build without plugins refuses the option before it misses a program to run.
    plugins = number < _PLUGINS_UNTIL and "unknown option" not in _said(path, "-plugin", "none")
    return Qemu(path, architecture, number, models, plugins)


def _said(path: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [path, *arguments], capture_output=True, text=True, errors="replace", timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EdgequantError("QEMU cannot be run", where=path, got=error) from None
    return done.stdout + done.stderr


def _instead(model: CpuModel, found: Sequence[Qemu]) -> str:
    """Return which other CPU models with the same kernels could be had."""
    same = [each for each in MODELS.values() if each.family == model.family and each.name != model.name]
    known = [each.name for each in same if any(build.knows(each) for build in found)]
    return f"; or take --isa {' or '.join(known)}, which has the same int8 kernels" if known else ""


def _some(build: Qemu) -> str:
    return " ".join(sorted(name for name in build.models if re.match(r"cortex-a\d|neoverse|[A-Z]", name))[:12])
