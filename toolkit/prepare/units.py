"""The parts of a stack's work: each model for each target, with all paths and recipes found."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.errors import RecipeError, UsageError
from toolkit.prepare.stack import ColumnNames, ModelTable, SetTable, Stack
from toolkit.samples import shipped_sets
from toolkit.sets import DataSet
from toolkit.sources import SourceOptions
from toolkit.strict import nearest
from toolkit.targets import Bits, Decision, Recipe, load_limits, load_recipe


@dataclass(frozen=True)
class Place:
    """Where a stack's paths start and end, and which models are folders of this machine instead of what it says."""

    home: Path  # the folder of stack.toml
    out: Path
    local: Mapping[str, str]


@dataclass(frozen=True)
class Unit:
    """One model for one target: everything that a process needs to build it."""

    name: str
    model: str  # the absolute path of a folder or an .onnx file, else a hub id
    revision: str | None
    options: SourceOptions
    recipe: Recipe
    calibration: DataSet
    evaluation: DataSet
    decision: Decision | None
    out: Path
    bits: Bits | None = None  # of a causal model's weights; None: as the recipe says
    threads: int | None = None

    @property
    def title(self) -> str:
        """Its model and target."""
        return f"{self.name} for {self.recipe.name}"

    def of(self, model: str, origin: str | None) -> "Unit":
        """Return the same of a model that is now in a folder."""
        return replace(self, model=model, revision=None, options=replace(self.options, origin=origin))


def units(stack: Stack, place: Place) -> list[Unit]:
    """Return the work in the order of the file; RecipeError and UsageError where a part of it cannot be."""
    unknown = next((name for name in place.local if name not in stack.models), None)
    if unknown is not None:
        hint = nearest(unknown, stack.models)
        raise UsageError(
            "--local names no model of the stack", got=unknown, expected=", ".join(stack.models), hint=hint
        )
    made = [
        _unit(place, name, model, target) for name, model in stack.models.items() for target in stack.targets_of(model)
    ]
    folders = [unit.out for unit in made]
    twice = next((unit for unit in made if folders.count(unit.out) > 1), None)
    if twice:
        raise RecipeError("two bundles would have the same folder", where=twice.out, hint="name each target once")
    return made


def _unit(place: Place, name: str, model: ModelTable, target: str) -> Unit:
    recipe = load_recipe(str(place.home / target) if target.endswith(".toml") else target)
    if model.limits is not None:
        limits = str(place.home / model.limits) if model.limits.endswith(".toml") else model.limits
        recipe = recipe.model_copy(update={"gate": load_limits(limits)})
    tokenizer = None if model.tokenizer is None else place.home / model.tokenizer
    options = SourceOptions(model.task, model.pooling, model.normalize, tokenizer, model.max_length, name)
    local = place.local.get(name)
    return Unit(
        name=name,
        model=_found(place.home, model.model) if local is None else _folder(name, local),
        revision=model.revision if local is None else None,
        options=options,
        recipe=recipe,
        calibration=_set(place.home, model.calibration, ("text", "text2")),
        evaluation=_set(place.home, model.evaluation, tuple(ColumnNames.model_fields)),
        decision=model.decision,
        out=place.out / f"{name}-{recipe.name}",
        bits=model.bits,
    )


def _found(home: Path, model: str) -> str:
    """Return a path where the model is one beside the file, else the hub id that it then must be."""
    path = home / Path(model).expanduser()
    return str(path) if os.path.lexists(path) or model.startswith((".", "/", "~")) or path.suffix == ".onnx" else model


def _folder(name: str, local: str) -> str:
    if not os.path.lexists(local):
        raise UsageError("there is no such folder or file", where=f"--local {name}", got=local)
    return str(Path(local).absolute())


def _set(home: Path, table: SetTable | None, roles: tuple[str, ...]) -> DataSet:
    if table is None:
        return DataSet()
    own = table.set not in {info.name for info in shipped_sets()} and not table.set.startswith("hub:")
    columns = table.columns.model_dump(include=set(roles), exclude_none=True)
    return DataSet(str(home / table.set) if own else table.set, columns or None, table.samples)
