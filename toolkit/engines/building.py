"""The process that an engine builds in: an order's file in, what it took beside the model out."""

import json
import time
from importlib import import_module
from pathlib import Path

from toolkit.engines.order import Order
from toolkit.runtime.strict import parse, read

_STATUS = Path("/proc/self/status")


def build(module: str, order_file: str, answer_file: str) -> None:
    """Build with ``toolkit.engines.MODULE`` and write who did, in how many seconds, with how much memory at its peak.

    Seconds and memory are the whole process's, imports included.
    """
    order = read(Order, parse(Path(order_file).read_bytes(), order_file), order_file)
    start = time.perf_counter()
    by = import_module(f"toolkit.engines.{module}").build(order)
    answer = {"by": by, "seconds": time.perf_counter() - start, "peak_bytes": peak_bytes()}
    Path(answer_file).write_text(json.dumps(answer), encoding="utf-8")


def peak_bytes() -> int:
    """Return this process's peak of resident memory (Linux). ``ru_maxrss`` is not it: it starts with the parent's."""
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
