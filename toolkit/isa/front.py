"""What a program under emulation sees as ``/``: an image's root filesystem behind the CPU that is emulated.

QEMU's ``-L FOLDER`` looks for every absolute path in FOLDER first and then on the host. The front is a folder of links
into the root filesystem, with ``/proc/cpuinfo`` and ``/sys/devices/system/cpu`` of one such core, which onnxruntime
reads, and this ``toolkit``, so that what is tested is what is here.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import toolkit
from toolkit.isa.cpu_models import CpuModel
from toolkit.runtime.unpacking import beside

TOOLKIT = "edgequant"
# Of the machine, not of the image: absent in the front, so that the host's are seen.
_MACHINE = frozenset(("dev", "proc", "sys", "run", "tmp", "etc"))
_CPU = "sys/devices/system/cpu"


def make_front(root: Path, model: CpuModel, cache: Path) -> Path:
    """Return the front of a root filesystem for a CPU model; made once for the same of both."""
    package = Path(toolkit.__file__).resolve().parent
    facts = "\n".join((str(root.resolve()), str(package), model.cpuinfo()))
    front = cache / "fronts" / f"{model.name}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    if not front.is_dir():
        with made_once(front) as partial:
            _fill(partial, root.resolve(), model)
            (partial / TOOLKIT).mkdir()
            (partial / TOOLKIT / "toolkit").symlink_to(package)
    return front


@contextmanager
def made_once(folder: Path) -> Iterator[Path]:
    """Give an empty folder that gets its name in the end; where another process was faster, that one's stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with beside(folder) as partial:
        partial.mkdir()
        yield partial
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _fill(front: Path, root: Path, model: CpuModel) -> None:
    for path in root.iterdir():
        if path.name not in _MACHINE:
            (front / path.name).symlink_to(path)
    (front / "etc").mkdir()
    for path in (root / "etc").iterdir():
        (front / "etc" / path.name).symlink_to(path)
    (front / "etc/ld.so.cache").unlink(missing_ok=True)
    (front / "etc/ld.so.cache").touch()  # the host's names the host's libraries
    (front / "proc").mkdir()
    (front / "proc/cpuinfo").write_text(model.cpuinfo(), encoding="ascii")
    (front / _CPU).mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (front / _CPU / name).write_text("0\n", encoding="ascii")
