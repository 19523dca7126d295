"""How much memory there is for work (Linux), and how much of it a model needs."""

import re
from collections.abc import Iterator
from pathlib import Path

from toolkit.runtime.cpu import cgroups

PROCESS = 400_000_000
"""Bytes of a process with the libraries of quantizing, before its model."""
TIMES_WEIGHTS = 6
"""The peak beyond that, by the bytes of the float weights; the report's ``peak_bytes`` tells what it was."""
_WEIGHTS = (".safetensors", ".onnx", ".onnx_data", ".bin")


def needed_memory(model: Path) -> int:
    """Return the bytes that quantizing needs at its peak, by the size of the weights in a folder or an ONNX file."""
    files = [model] if model.is_file() else [path for path in model.rglob("*") if path.suffix in _WEIGHTS]
    by_kind: dict[str, int] = {}  # a folder may hold the same weights in several forms: one of them is read
    for path in files:
        kind = ".onnx" if path.suffix.startswith(".onnx") else path.suffix
        by_kind[kind] = by_kind.get(kind, 0) + path.stat().st_size
    return PROCESS + TIMES_WEIGHTS * max(by_kind.values(), default=0)


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that can be taken without swapping, of the machine and of each cgroup; None if unknown.

    What a cgroup holds of files it can give back, so it counts as free. ``root`` holds ``proc`` and ``sys``.
    """
    machine = re.search(r"^MemAvailable:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    found = [1024 * int(machine[1])] if machine else []
    return max(0, min(found)) if (found := [*found, *_left_in_cgroups(root)]) else None


def _left_in_cgroups(root: Path) -> Iterator[int]:
    for folder, first in cgroups(root, "memory"):
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if first else ("memory.max", "memory.current")
        limit, used = (_text(folder / name).strip() for name in names)
        if limit.isdigit() and used.isdigit():  # "max" means no limit
            files = re.search(r"^(?:total_)?inactive_file (\d+)", _text(folder / "memory.stat"), re.MULTILINE)
            yield int(limit) - int(used) + (int(files[1]) if files else 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
