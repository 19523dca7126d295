"""Emulated places: qemu-user with a named CPU model on the root filesystem of edgequant's images.

Neither root nor binfmt_misc nor chroot is needed: QEMU starts the root filesystem's own Python.
"""

from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import EdgequantError
from toolkit.image.rootfs import LIBRARY
from toolkit.image.wheels import Kind
from toolkit.isa import qemu
from toolkit.isa.cpu_models import CpuModel
from toolkit.isa.front import TOOLKIT, make_front
from toolkit.isa.place import Place
from toolkit.isa.roots import root_for
from toolkit.progress import Track, silent

# Nothing that the host sets reaches the program, and nothing in it depends on chance, so that counts repeat.
_ENV = {
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Emulator:
    """What emulation needs of this machine: a cache folder, and a folder of QEMU's programs (None: the search path).

    ``kind`` is what the runtime under emulation is for.
    """

    cache: Path
    qemu: Path | None = None
    track: Track = silent
    kind: Kind = "standard"


def emulated(model: CpuModel, emulator: Emulator, *, plugins: bool = False) -> Place:
    """Return the place of a CPU model; its root filesystem is fetched at the first use, a minute or so.

    Raises UsageError if QEMU is missing, does not know the model, or takes no plugins where they are wanted.
    """
    build = qemu.find(model, emulator.qemu, plugins=plugins)
    root = root_for(model.architecture, emulator.cache, emulator.track, emulator.kind)
    front = make_front(root, model, emulator.cache)
    python = _python(front)
    # A fixed seed: QEMU's own, for the guest's AT_RANDOM.
    command = (str(build.path), "-cpu", model.qemu, "-seed", "1", "-L", str(front), str(python))
    env = {
        **_ENV,
        "PYTHONHOME": str(front / "usr"),
        "PYTHONPATH": f"{front / TOOLKIT}:{front / LIBRARY}",
    }
    return Place(model.name, "emulated", command, env, f"{build} -cpu {model.qemu}", model.family)


def _python(front: Path) -> Path:
    found = sorted((front / "usr/bin").glob("python3.[0-9]*"))
    if not found:
        raise EdgequantError("the root filesystem has no Python", where=front / "usr/bin", expected="python3.N")
    return found[-1]
