"""What this CPU is, and how much of it this process may use (Linux)."""

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

_ARCHITECTURES = {"amd64": "x86_64", "aarch64": "arm64"}
# More than one kernel name for what a recipe asks for: the ISA feature by its usual name.
_ALIASES = {"asimd": "neon", "asimddp": "dotprod", "avx512_vnni": "vnni", "avx_vnni": "vnni"}
# linux/arch/arm64/include/uapi/asm/hwcap.h: (AT_HWCAP or AT_HWCAP2, bit) of the features that recipes name.
_HWCAPS = {"asimd": (16, 1), "asimddp": (16, 20), "sve": (16, 22), "i8mm": (26, 13), "bf16": (26, 14)}


def architecture() -> str:
    """Return the machine in the targets' words: ``x86_64``, ``arm64``, or the kernel's own word."""
    machine = os.uname().machine.lower()
    return _ARCHITECTURES.get(machine, machine)


def features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the ISA flags that all cores have, as Linux names them, and neon, dotprod, vnni beside."""
    rows = _flag_rows(cpuinfo)
    flags = frozenset.intersection(*rows) if rows else _hwcap_flags()
    return flags | {_ALIASES[flag] for flag in flags & _ALIASES.keys()}


def missing(requires: Iterable[str], present: frozenset[str] | None = None) -> tuple[str, ...]:
    """Return those of ``requires`` that this CPU (or ``present``) lacks, in their order."""
    have = features() if present is None else present
    return tuple(name for name in requires if name.lower() not in have)


def available_threads(root: Path = Path("/"), affinity: int | None = None) -> int:
    """Return how many threads this process can keep busy: CPU affinity and cgroup quota (v1, v2), at least 1.

    A quota of 1.5 CPUs gives 2, as the JVM and Go round. ``root`` holds ``proc`` and ``sys``.
    """
    cpus = len(os.sched_getaffinity(0)) if affinity is None else affinity
    quotas = [math.ceil(quota) for quota in _quotas(root)]
    return max(1, min([cpus, *quotas]))


def _flag_rows(cpuinfo: Path) -> list[frozenset[str]]:
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        return []
    pairs = (line.partition(":") for line in text.splitlines())
    return [frozenset(v.lower().split()) for k, _, v in pairs if k.strip().lower() in ("flags", "features")]


def _hwcap_flags() -> frozenset[str]:
    """Ask the kernel's auxiliary vector: QEMU's user mode answers it right where cpuinfo is the host's."""
    if architecture() != "arm64":
        return frozenset()
    import ctypes  # noqa: PLC0415 - a rare path

    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return frozenset(name for name, (kind, bit) in _HWCAPS.items() if getauxval(kind) >> bit & 1)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU limits, in CPUs, of this process's cgroups and all above them."""
    for folder, first in cgroups(root, "cpu"):
        yield from _quota_v1(folder) if first else _quota_v2(folder)


def cgroups(root: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield the folders of this process's cgroups and all above them, and whether each is of version 1."""
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        mounts = ["", "unified"] if not controllers else [controllers, controller]
        if controllers and controller not in controllers.split(","):
            continue
        for mount in mounts:
            yield from ((folder, bool(controllers)) for folder in _upwards(root / "sys/fs/cgroup" / mount, path))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield the cgroup's folder and those above, up to the mount: a parent's limit holds for its children."""
    inside = PurePosixPath(path.lstrip("/"))
    for step in (inside, *inside.parents):
        if ".." not in step.parts:  # a cgroup outside of this container's namespace
            yield mount / step


def _quota_v2(folder: Path) -> Iterator[float]:
    """``cpu.max`` holds ``QUOTA PERIOD`` in microseconds, or ``max PERIOD``."""
    for line in _lines(folder / "cpu.max"):
        quota, period, *_ = *line.split(), "100000", ""
        yield from _ratio(quota, period)


def _quota_v1(folder: Path) -> Iterator[float]:
    for quota, period in zip(_lines(folder / "cpu.cfs_quota_us"), _lines(folder / "cpu.cfs_period_us"), strict=False):
        yield from _ratio(quota, period)


def _ratio(quota: str, period: str) -> Iterator[float]:
    if quota.isdigit() and period.isdigit() and int(period):  # "max" and -1 mean no limit
        yield int(quota) / int(period)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
