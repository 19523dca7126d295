"""The masked place: a private copy of onnxruntime that takes its AVX2 kernels on a newer x86 CPU, at native speed.

Each ``cpuid`` instruction of the copy is replaced by one that traps, and mask.c answers the trap with the bits of
AVX-512, VNNI, AVX-VNNI and AMX cleared. The installed package is only read; the copy lies in a cache folder, under a
name made of all that it depends on.
"""

import hashlib
import importlib.util
import platform
import re
import shutil
import tempfile
from pathlib import Path

from toolkit.errors import EdgequantError
from toolkit.isa.compiling import compile_shared
from toolkit.isa.elf import instruction_offsets
from toolkit.isa.native import python_here
from toolkit.isa.place import Place
from toolkit.runtime import cpu

CPUID = b"\x0f\xa2"
TRAP = b"\x37\x3f"  # AAA AAS: invalid in 64-bit code, and unlike UD2 found in no program; mask.c looks for it
LIBRARY, OVERLAY = "mask.so", "overlay"
C_FILE = Path(__file__).with_name("mask.c")


def why_not_masked() -> str:
    """Return in one sentence why this machine cannot mask, with what to install; empty where it can."""
    if platform.system() != "Linux" or cpu.architecture() != "x86_64":
        return f"masking works on Linux on x86-64, this is {platform.system()} on {cpu.architecture()}"
    if "avx2" not in cpu.features():
        return "this CPU, or its operating system, has no AVX2"
    lacking = [tool for tool in ("gcc", "objdump") if shutil.which(tool) is None]
    if lacking:
        return f"{' and '.join(lacking)} must be installed: apt install gcc libc6-dev binutils"
    return ""


def masked(cache: Path) -> Place:
    """Return the place ``avx2`` by masking; built in ``cache`` on first use, which takes some seconds.

    Raises EdgequantError where it cannot be built. Whether the mask took is for the probes to show.
    """
    reason = why_not_masked()
    if reason:
        raise EdgequantError("the kernels of avx2 cannot be reached by masking here", got=reason)
    if re.search(r"[\s:]", str(cache.resolve())):  # both separate the names in LD_PRELOAD
        hint = "set XDG_CACHE_HOME to a path without"
        raise EdgequantError("the cache folder's path has a space or a colon", where=cache.resolve(), hint=hint)
    built = _built(cache.resolve(), installed_onnxruntime())
    python, env = python_here(built / OVERLAY)
    return Place("avx2", "masked", python, {**env, "LD_PRELOAD": str(built / LIBRARY)}, detail=_cpu_detail())


def installed_onnxruntime() -> Path:
    """Return the folder of the installed package, without importing it."""
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        raise EdgequantError("onnxruntime is not installed", hint="pip install edgequant")
    return Path(found.origin).parent


def mask_library(path: Path, out: Path) -> int:
    """Write a copy of a shared object whose ``cpuid`` instructions trap; return their number, 0 for no copy."""
    data = bytearray(path.read_bytes())
    sites = instruction_offsets(path, bytes(data), CPUID, "cpuid", "objdump")
    for offset in sites:
        data[offset : offset + len(CPUID)] = TRAP
    if sites:
        out.write_bytes(data)
        out.chmod(0o755)
    return len(sites)


def _built(cache: Path, package: Path) -> Path:
    """Return the folder of the copy: the one that is there, or a new one, written beside and renamed."""
    libraries = [path for path in sorted((package / "capi").glob("*.so*")) if path.is_file()]
    folder = cache / f"masked-{_digest(package, libraries)}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=cache))
    try:
        compile_shared(C_FILE, beside / LIBRARY, "the mask")
        _overlay(package, libraries, beside / OVERLAY)
        beside.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first, with the same content
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _digest(package: Path, libraries: list[Path]) -> str:
    digest = hashlib.sha256(C_FILE.read_bytes() + CPUID + TRAP + bytes(package.resolve()))
    for path in libraries:
        with path.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:32]


def _overlay(package: Path, libraries: list[Path], out: Path) -> None:
    """Make a package that is the installed one but for the masked libraries: links beside copies."""
    inner = out / package.name / "capi"
    inner.mkdir(parents=True)
    masked_sites = {path.name: mask_library(path, inner / path.name) for path in libraries}
    if not any(masked_sites.values()):
        raise EdgequantError("no cpuid instruction was found in onnxruntime", where=package / "capi")
    for source, target in ((package, inner.parent), (package / "capi", inner)):
        for path in source.resolve().iterdir():
            if path.name != "__pycache__" and not (target / path.name).exists():
                (target / path.name).symlink_to(path)


def _cpu_detail() -> str:
    groups = {"avx512": "AVX-512", "avx_vnni": "AVX-VNNI", "amx": "AMX"}
    hidden = [word for flag, word in groups.items() if any(name.startswith(flag) for name in cpu.features())]
    return f"this CPU, its {' and '.join(hidden)} hidden from onnxruntime" if hidden else "this CPU"
