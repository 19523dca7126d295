"""Which places an answer is wanted from, and how this machine reaches them: native, else masked, else emulated."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from toolkit.errors import EdgequantError, UsageError
from toolkit.isa.abilities import why_masking_is_closed
from toolkit.isa.masked import masked
from toolkit.isa.native import NEEDS, native, why_not_native
from toolkit.isa.place import Place
from toolkit.runtime import cpu
from toolkit.runtime.tensor_manifest import AnyManifest
from toolkit.targets import Isa, Verify, load_recipe, recipe_files

TARGET = "target"
SATURATING: tuple[Isa, ...] = ("avx2",)
"""Families whose pairs of u8 x s8 products saturate in 16 bits, if no bound on the weights keeps them from it."""


@dataclass(frozen=True)
class Reach:
    """With what places are reached: a folder that keeps masked copies, and who emulates a CPU model by name."""

    cache: Path
    emulate: Callable[[str], Place]


def places(names: Iterable[str], target: Verify, reach: Reach) -> tuple[Place, ...]:
    """Return the places for ``target``, kernel families and CPU models, each once.

    EdgequantError, with the reason of each way, where this machine cannot reach one.
    """
    found: dict[tuple[str, str], Place] = {}
    for name in names:
        for place in _places(name, target, reach):
            found.setdefault((place.isa, place.how), place)
    return tuple(found.values())


def place_to_time_on(isa: Isa, cache: Path) -> Place:
    """Return where the kernels of a family run at their own speed; EdgequantError where they do not here."""
    no_native, no_mask = why_not_native(isa, cpu.architecture(), cpu.features()), why_masking_is_closed(isa)
    if no_native and no_mask:
        got = f"native: {no_native}; masked: {no_mask}"
        raise EdgequantError(f"the kernels of {isa} cannot be timed here", got=got)
    return masked(cache) if no_native else native(isa)


def verify_of(manifest: AnyManifest) -> Verify:
    """Return what a bundle's recipe says of verification: from the bundle, or for older ones from its target."""
    said = manifest.provenance.get("verify")
    if said is not None:
        return Verify.model_validate(said, strict=False)
    if manifest.target.name in recipe_files():
        return load_recipe(manifest.target.name).verify
    have = [isa for isa, needs in NEEDS.items() if set(needs) <= set(manifest.target.requires)]
    if not have:
        hint = f"name the kernels: {', '.join(NEEDS)}"
        raise UsageError("the bundle does not say what its target's kernels are", where=manifest.target.name, hint=hint)
    return Verify(isa=have[-1], cpu_models=())


def _places(name: str, target: Verify, reach: Reach) -> Iterator[Place]:
    families = get_args(Isa)
    if name == TARGET:
        yield from _family(target.isa, target.cpu_models, reach)
    elif name in families:
        yield from _family(cast(Isa, name), _models_of(cast(Isa, name), target), reach)
    else:
        yield reach.emulate(name)


def _models_of(isa: Isa, target: Verify) -> tuple[str, ...]:
    """Return the CPU models to emulate for a family: those of the bundle's recipe, or of the shipped one for it."""
    if isa == target.isa:
        return target.cpu_models
    shipped = (load_recipe(name).verify for name in recipe_files())
    return next((verify.cpu_models for verify in shipped if verify.isa == isa), ())


def _family(isa: Isa, cpu_models: tuple[str, ...], reach: Reach) -> Iterator[Place]:
    no_native = why_not_native(isa, cpu.architecture(), cpu.features())
    if not no_native:
        yield native(isa)
        return
    no_mask = why_masking_is_closed(isa)
    if not no_mask:
        yield masked(reach.cache)
        return
    if not cpu_models:
        raise EdgequantError(
            f"this machine cannot run the kernels of {isa}",
            got=f"native: {no_native}; masked: {no_mask}; emulated: the recipe names no CPU model that has them",
            hint="`edgequant doctor` tells what this machine can do",
        )
    for model in cpu_models:
        yield reach.emulate(model)
