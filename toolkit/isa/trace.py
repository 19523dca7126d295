"""Which instructions a program came to under emulation: the proof of which kernel ran, not of what it computes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from toolkit.errors import EdgequantError
from toolkit.isa.cpu_models import CpuModel, cpu_model
from toolkit.isa.instructions import INT8, translated
from toolkit.isa.place import Place
from toolkit.runtime.verification import Check


@contextmanager
def traced(place: Place) -> Iterator[tuple[Place, Path]]:
    """Yield an emulated place whose programs write a log of what QEMU translates, and the log's path."""
    with TemporaryDirectory(prefix="edgequant-trace-") as folder:
        log = Path(folder) / "in_asm"
        command = (place.python[0], "-d", "in_asm", "-D", str(log), *place.python[1:])
        yield replace(place, python=command), log


def shown_kinds(log: Path, model: CpuModel) -> frozenset[str]:
    """Return the kinds of instructions in a log; EdgequantError if QEMU wrote none."""
    found = translated(log, model.architecture) if log.is_file() else frozenset()
    if not found:
        raise EdgequantError("QEMU wrote no log of what it translated", where=log, expected="option -d in_asm")
    return found


def check_instructions(log: Path, place: Place) -> Check:
    """Judge whether the int8 kernels in a log are those that onnxruntime has for the place's CPU model."""
    model = cpu_model(place.isa)
    shown = shown_kinds(log, model)
    seen = [kind for kind in INT8 if kind in shown]
    ok = bool(shown & set(model.marks))
    detail = f"int8 arithmetic that ran: {', '.join(seen) or 'none'}"
    return Check("instructions", ok, detail if ok else f"{detail}; expected {' or '.join(model.marks)}")
