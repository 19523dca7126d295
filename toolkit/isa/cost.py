"""What an inference costs on a CPU that cannot be timed: the instructions that it executes, by kind. Never time.

An instruction is not a clock tick: a UMMLA does the work of many multiply-adds, and a load may wait for memory. The
counts say how much there is to do, are the same on every run, and compare fp32 with int8 on one CPU.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from toolkit.atomic import whole_file
from toolkit.errors import EdgequantError, UsageError
from toolkit.isa.compiling import compile_shared
from toolkit.isa.counted import Counted, CountJob
from toolkit.isa.cpu_models import CpuModel
from toolkit.isa.emulated import Emulator, emulated
from toolkit.isa.instructions import INT8, kinds, table
from toolkit.isa.place import Place, run

SOURCE = Path(__file__).with_name("count.c")
SHAPES = ((1, 16), (1, 128))
SAME = 1e-3
"""How far apart the counts of two runs may be; measured: int8 arithmetic the same, totals within 3e-5."""
_RUN = "import sys; from toolkit.isa.counted import count; count(sys.stdin.buffer.read())"
_TIMEOUT = 3600.0


@dataclass(frozen=True)
class Count:
    """One model on one CPU at (batch, tokens): executed instructions in all, and by kind where there are any.

    ``spread`` is the difference between two runs, as a share of all.
    """

    cpu: str
    model: str
    batch: int
    tokens: int
    instructions: int
    kinds: dict[str, int]
    spread: float

    @property
    def int8(self) -> dict[str, int]:
        """Return the counts of int8 arithmetic, largest first."""
        chosen = {name: self.kinds[name] for name in INT8 if name in self.kinds}
        return dict(sorted(chosen.items(), key=lambda item: -item[1]))


@dataclass(frozen=True)
class CostReport:
    """The counts of all CPUs, models and shapes, and by what they were made."""

    bundle: str
    title: str
    qemu: str
    counts: tuple[Count, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return asdict(self)


def cost(
    model: CpuModel, models: dict[str, Counted], emulator: Emulator, *, fixed: bool = True
) -> tuple[Place, tuple[Count, ...]]:
    """Count each named model's instructions on a CPU model, twice, in processes of their own.

    ``fixed`` takes randomness out of addresses (``setarch -R``), where the system allows it. Raises UsageError without
    gcc or a QEMU that takes plugins, EdgequantError where two runs are not the same.
    """
    place = emulated(model, emulator, plugins=True)
    plugin = build_plugin(emulator.cache)
    if fixed and _may_fix_addresses():
        place = replace(place, python=("setarch", "-R", *place.python))
    runs = [_regions(place, model, plugin, models) for _ in range(2)]
    order = [(name, shape) for name, each in models.items() for shape in each.shapes]
    if any(len(found) != len(order) for found in runs):
        got = f"{len(runs[0])} and {len(runs[1])} regions"
        raise EdgequantError("the plugin did not see every mark", where=place, got=got, expected=len(order))
    made = [_count(model, name, shape, (one, two)) for (name, shape), one, two in zip(order, *runs, strict=True)]
    return place, tuple(made)


def build_plugin(cache: Path) -> Path:
    """Return the plugin, compiled once for each version of its source; UsageError without a compiler."""
    source = SOURCE.read_bytes()
    built = cache / "plugins" / f"count-{hashlib.sha256(source).hexdigest()[:12]}.so"
    if built.is_file():
        return built
    if shutil.which("gcc") is None:
        raise UsageError("the counting plugin needs a compiler", expected="gcc", hint="apt install gcc libc6-dev")
    built.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(built) as beside:
        compile_shared(SOURCE, beside, "the counting plugin", "-fvisibility=hidden")
    return built


def _regions(place: Place, model: CpuModel, plugin: Path, models: dict[str, Counted]) -> list[dict[str, int]]:
    """Return the counts between each pair of marks, by kind."""
    names = kinds(model.architecture)
    with tempfile.TemporaryDirectory(prefix="edgequant-count-") as folder:
        listed, out = Path(folder) / "table", Path(folder) / "counts"
        listed.write_text(table(model.architecture), encoding="ascii")
        at = next(number for number, part in enumerate(place.python) if Path(part).name.startswith("qemu-")) + 1
        option = ("-plugin", f"{plugin},table={listed},out={out}")
        counting = replace(place, python=(*place.python[:at], *option, *place.python[at:]))
        run(counting, ("-P", "-c", _RUN), CountJob(tuple(models.values())).to_json(), timeout=_TIMEOUT)
        lines = out.read_text(encoding="ascii").splitlines() if out.is_file() else []
    rows = [list(map(int, line.split())) for line in lines[:-1]]  # the last line is that of the end
    pairs = zip(rows[0::2], rows[1::2], strict=True)
    return [dict(zip(names, (b - a for a, b in zip(*pair, strict=True)), strict=True)) for pair in pairs]


def _count(model: CpuModel, name: str, shape: tuple[int, int], runs: Sequence[dict[str, int]]) -> Count:
    totals = [sum(found.values()) for found in runs]
    spread = abs(totals[0] - totals[1]) / max(totals)
    arithmetic = [[found.get(kind, 0) for kind in INT8] for found in runs]
    if spread > SAME or arithmetic[0] != arithmetic[1]:
        raise EdgequantError(
            "two runs executed different numbers of instructions",
            where=f"{name} on {model.name} at {shape[0]}x{shape[1]}",
            got=" and ".join(map(str, totals)),
            expected=f"the same int8 arithmetic, and totals within {SAME:g}",
            hint="the machine may lack memory, or a plugin of another version counts: run it again",
        )
    found = {kind: number for kind, number in runs[0].items() if number}
    return Count(model.name, name, *shape, totals[0], found, spread)


def _may_fix_addresses() -> bool:
    """Return whether ``setarch -R`` works: containers may forbid the system call."""
    if shutil.which("setarch") is None:
        return False
    return subprocess.run(["setarch", "-R", "true"], capture_output=True, check=False).returncode == 0
