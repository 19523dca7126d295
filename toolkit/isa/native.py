"""The native place: this machine, where its CPU has exactly the kernels that are asked for."""

import platform
import sys
from pathlib import Path

import toolkit
from toolkit.errors import EdgequantError
from toolkit.isa.place import Place
from toolkit.runtime import cpu
from toolkit.targets import ISAS, Isa

# ONNX Runtime takes the best kernels that the CPU has: what a family needs, and what would outdo it.
# MLAS: lib/platform.cpp. AVX-512 without VNNI has kernels of its own.
NEEDS: dict[Isa, tuple[str, ...]] = {
    "avx2": ("avx2", "fma"),
    "vnni": ("vnni",),
    "neon": ("neon",),
    "dotprod": ("dotprod",),
    "i8mm": ("i8mm",),
}
OUTDONE_BY: dict[Isa, tuple[str, ...]] = {
    "avx2": ("vnni", "avx512f"),
    "vnni": (),
    "neon": ("dotprod", "i8mm"),
    "dotprod": ("i8mm",),
    "i8mm": (),
}


def why_not_native(isa: Isa, architecture: str, features: frozenset[str]) -> str:
    """Return in one sentence why a CPU does not run on these kernels by itself; empty where it does."""
    if isa not in ISAS.get(architecture, ()):
        return f"this CPU is {architecture}"
    lacking = cpu.missing(NEEDS[isa], features)
    if lacking:
        return f"this CPU lacks {', '.join(lacking)}"
    better = [name for name in OUTDONE_BY[isa] if name in features]
    return f"this CPU has {' and '.join(better)}, which onnxruntime prefers" if better else ""


def native(isa: Isa) -> Place:
    """Return this machine as a place; EdgequantError where its CPU has other kernels."""
    reason = why_not_native(isa, cpu.architecture(), cpu.features())
    if reason:
        raise EdgequantError(f"the kernels of {isa} are not those of this CPU", got=reason)
    python, env = python_here()
    return Place(isa, "native", python, env, detail="this CPU")


def python_here(*first: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return this interpreter and an environment in which it finds what it finds now, after the folders ``first``."""
    root = Path(toolkit.__file__).parent.parent
    path = dict.fromkeys([*map(str, first), str(root), *filter(None, sys.path)])
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    return (sys.executable,), env | {"PYTHONPATH": ":".join(path)}


def cpu_name() -> str:
    """Return what the CPU calls itself."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or "unknown CPU"
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.lower().startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
