"""Time a start and weigh the process: numpy and onnxruntime's package against the C API alone.

usage: start.py BUNDLE [--rounds N] [--requests N] [--threads N] [--json]

BUNDLE embeds. Each engine gets a folder with what it needs and nothing else (links into this environment), and Python
without site. A round starts one process on each, one after the other; figures are medians of the rounds. Wall time is
from the parent's start of the process to the first embedding, CPU time is the child's own until then; memory is the
process's peak (VmHWM) after the first embedding and after the requests, one text to four of one to 100 words each.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import toolkit.runtime
from toolkit.cli.doctor import diagnose
from toolkit.runtime.host import Engine, Host

_REAL_TIME = (os.SCHED_FIFO, os.SCHED_RR)  # chrt -r 1 start.py …: what an idle machine would show, on a busy one
PACKAGES: dict[Engine, tuple[str, ...]] = {
    "python": ("numpy", "numpy.libs", "onnxruntime", "tokenizers"),
    "capi": ("tokenizers",),
}
CHILD = """
import sys, time
bundle, threads, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
from toolkit.runtime import load
embedder = load(bundle, threads)
embedder.embed("A man is playing a guitar.")
wall, cpu = time.monotonic(), time.process_time()
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
first = peak()
import random
choose = random.Random(0)
for _ in range(requests):
    texts = [" ".join(choose.choices(("the", "cat", "sat", "embedding"), k=choose.randrange(1, 101)))
             for _ in range(choose.randrange(1, 5))]
    embedder.embed(texts)
print(wall, cpu, first, peak(), len(sys.modules), "numpy" in sys.modules)
"""


@dataclass(frozen=True)
class Start:
    """One start, or the medians of many: milliseconds to the first embedding, peak MB then and after the requests."""

    wall_ms: float
    cpu_ms: float
    first_mb: float
    requests_mb: float
    modules: float


def main() -> int:
    """Start both engines in turn and print."""
    parser = argparse.ArgumentParser(description="time starts and weigh processes of both engines")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder of a bundle that embeds")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="starts of each (default: 10)")
    parser.add_argument("--requests", type=int, default=0, metavar="N", help="requests after a start (default: 0)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the model (default: 1)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    args = parser.parse_args()
    arguments = (str(args.bundle.resolve()), str(args.threads), str(args.requests))
    rows = measure(arguments, args.rounds)
    known = conditions(args.rounds, args.requests, args.threads)
    if args.json:
        print(json.dumps({"conditions": known, "rows": {name: asdict(row) for name, row in rows.items()}}, indent=2))
    else:
        show(rows, known)
    return 0


def measure(arguments: Sequence[str], rounds: int) -> dict[Engine, Start]:
    """Return the medians of each engine, after one start of each that compiles and reads from disk."""
    starts: dict[Engine, list[Start]] = {engine: [] for engine in PACKAGES}
    with tempfile.TemporaryDirectory() as folder:
        for engine in PACKAGES:
            lay_out(Path(folder) / engine, engine)
        for number in range(rounds + 1):
            for engine, found in starts.items():
                one = start(Path(folder) / engine, arguments if number else (*arguments[:2], "0"))
                if number:
                    found.append(one)
    return {engine: _medians(found) for engine, found in starts.items()}


def lay_out(folder: Path, engine: Engine) -> None:
    """Link what the engine needs: packages, or the shared library, and the runtime alone of the toolkit."""
    (folder / "toolkit").mkdir(parents=True)
    own = Path(toolkit.runtime.__file__).parent
    (folder / "toolkit/runtime").symlink_to(own)
    (folder / "toolkit/__init__.py").symlink_to(own.parent / "__init__.py")
    spec = find_spec("tokenizers")
    site = Path(spec.origin or "").parent.parent if spec else Path()
    for name in PACKAGES[engine]:
        if (site / name).exists():
            (folder / name).symlink_to(site / name)
    if engine == "capi":
        library = Host(engine="capi").library_path()
        (folder / library.name).symlink_to(library)


def start(folder: Path, arguments: Sequence[str]) -> Start:
    """Start one process and return what it says of itself."""
    command = [sys.executable, "-S", "-c", CHILD, *arguments]
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, env={}, stdout=subprocess.PIPE, text=True, check=True)
    wall, cpu, first, requests, modules, numpy = done.stdout.split()
    if (numpy == "True") != (folder.name == "python"):
        raise SystemExit(f"numpy is {'' if numpy == 'True' else 'not '}loaded by the engine {folder.name}")
    megabyte = 1e6 / 1024
    return Start(
        1000 * (float(wall) - began), 1000 * float(cpu), int(first) / megabyte, int(requests) / megabyte, float(modules)
    )


def conditions(rounds: int, requests: int, threads: int) -> dict[str, str]:
    """Return what the figures hold for."""
    found = diagnose()
    packages = ("onnxruntime", "numpy", "tokenizers")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": f"{found.cpu}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} of the last minute, "
        + ("before all other processes" if os.sched_getscheduler(0) in _REAL_TIME else "among other processes"),
        "versions": f"python {sys.version.split()[0]}, " + ", ".join(f"{name} {version(name)}" for name in packages),
        "figures": f"medians of {rounds} rounds, engines in turn, {threads} threads, files in the page cache",
        "requests": f"{requests}, 1 to 4 texts of 1 to 100 words each",
    }


def show(rows: dict[Engine, Start], known: dict[str, str]) -> None:
    """Print conditions and rows in Markdown."""
    for name, value in known.items():
        print(f"- {name}: {value}")
    print("\n| engine | first embedding, wall ms | CPU ms | peak MB then | peak MB after requests | modules |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        times = f"{row.wall_ms:.0f} | {row.cpu_ms:.0f}"
        print(f"| {name} | {times} | {row.first_mb:.1f} | {row.requests_mb:.1f} | {row.modules:.0f} |")


def _medians(starts: Sequence[Start]) -> Start:
    columns = zip(*(asdict(one).values() for one in starts), strict=True)
    return Start(*(statistics.median(column) for column in columns))


if __name__ == "__main__":
    sys.exit(main())
