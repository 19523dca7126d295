"""The CPU models that emulation offers: what QEMU calls them, and what Linux tells about them.

onnxruntime chooses its kernels by the auxiliary vector, which QEMU fills by ``-cpu``, *and* by the part number that
``/proc/cpuinfo`` shows, which QEMU 7.2 takes from the host: both must name the same CPU, or a kernel dies of SIGILL.
Part numbers: Arm's technical reference manuals (MIDR_EL1); flags: arch/arm64/kernel/cpuinfo.c.
"""

from dataclasses import dataclass

from toolkit.errors import UsageError
from toolkit.strict import nearest

_V8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_V8_2 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
_I8MM = f"{_V8_2} i8mm bf16"
_HASWELL = (
    "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 syscall nx rdtscp "
    "lm constant_tsc pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c rdrand lahf_lm abm "
    "fsgsbase bmi1 avx2 smep bmi2 erms"
)
_RUNTIME_QEMU = (7, 2)  # 7.2 is the first whose translator knows AVX2, and the oldest that was tried


@dataclass(frozen=True)
class CpuModel:
    """One CPU: its name here, ``architecture`` as in a recipe, the kernels that onnxruntime takes on it.

    ``qemu`` is the argument of ``-cpu`` and ``since`` the first QEMU that knows it. ``part`` is (implementer, variant,
    part, revision) of an Arm CPU; ``flags`` are those of ``/proc/cpuinfo``. ``marks`` are kinds of instructions
    (``instructions.KINDS``) of which the int8 kernel for this CPU must show one.
    """

    name: str
    architecture: str
    family: str
    qemu: str
    since: tuple[int, int]
    part: tuple[int, int, int, int]
    flags: str
    marks: tuple[str, ...]

    def cpuinfo(self) -> str:
        """Return ``/proc/cpuinfo`` of a machine with one such core."""
        if self.architecture == "x86_64":
            rows = _x86_rows(self)
        else:
            implementer, variant, part, revision = self.part
            rows = [
                ("BogoMIPS", "100.00"),
                ("Features", self.flags),
                ("CPU implementer", f"{implementer:#04x}"),
                ("CPU architecture", "8"),
                ("CPU variant", f"{variant:#x}"),
                ("CPU part", f"{part:#05x}"),
                ("CPU revision", str(revision)),
            ]
        return "".join(f"{name:15} : {value}\n" for name, value in [("processor", "0"), *rows]) + "\n"


def _x86_rows(model: CpuModel) -> list[tuple[str, str]]:
    return [
        ("vendor_id", "GenuineIntel"),
        ("cpu family", "6"),
        ("model", str(model.part[2])),
        ("model name", f"{model.name}, emulated"),
        ("stepping", str(model.part[3])),
        ("siblings", "1"),
        ("core id", "0"),
        ("cpu cores", "1"),
        ("apicid", "0"),
        ("initial apicid", "0"),
        ("flags", model.flags),
    ]


_WIDENING = ("widening multiply", "widening multiply-add")
_MODELS = (
    CpuModel("cortex-a53", "arm64", "neon", "cortex-a53", _RUNTIME_QEMU, (0x41, 0, 0xD03, 4), _V8, _WIDENING),
    CpuModel("cortex-a72", "arm64", "neon", "cortex-a72", _RUNTIME_QEMU, (0x41, 0, 0xD08, 3), _V8, _WIDENING),
    CpuModel("cortex-a76", "arm64", "dotprod", "cortex-a76", _RUNTIME_QEMU, (0x41, 4, 0xD0B, 1), _V8_2, ("udot",)),
    CpuModel("neoverse-n1", "arm64", "dotprod", "neoverse-n1", _RUNTIME_QEMU, (0x41, 3, 0xD0C, 1), _V8_2, ("udot",)),
    CpuModel(
        "neoverse-v1", "arm64", "i8mm", "neoverse-v1", (8, 1), (0x41, 1, 0xD40, 1), f"{_I8MM} sve",
        ("ummla", "sve ummla"),
    ),
    # Older than neoverse-v1 in QEMU. SVE is off, as on a CPU with i8mm alone; SME computes wrong numbers in QEMU 7.2.
    CpuModel(
        "max-i8mm", "arm64", "i8mm", "max,sve=off,sme=off", _RUNTIME_QEMU, (0x41, 1, 0xD40, 1), _I8MM, ("ummla",)
    ),
    CpuModel("Haswell", "x86_64", "avx2", "Haswell", _RUNTIME_QEMU, (0, 0, 60, 4), _HASWELL, ("vpmaddubsw",)),
)  # fmt: skip
MODELS = {model.name: model for model in _MODELS}


def cpu_model(name: str) -> CpuModel:
    """Return the CPU model of a name, in any case; UsageError for one that is not known."""
    found = {known.lower(): model for known, model in MODELS.items()}.get(name.lower())
    if found is None:
        hint = nearest(name, MODELS) or "`edgequant doctor` tells which of them can run here"
        raise UsageError(f"unknown CPU model {name!r}", expected=", ".join(MODELS), hint=hint)
    return found
