"""What a measurement of forms found: kept in the bundle, and in a file that makes a later build the same."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from toolkit.errors import RecipeError
from toolkit.forms import Forms, Tuning
from toolkit.isa.place import How
from toolkit.runtime.manifest import GraphOptimization
from toolkit.strict import StrictModel, read_strict_json
from toolkit.targets import Isa, Recipe


class Conditions(StrictModel):
    """What the figures hold for."""

    target: str
    model_sha256: str
    onnxruntime: str
    isa: Isa
    how: How
    cpu: str


class Session(StrictModel):
    """Those settings of ``[runtime]`` that are forms too."""

    graph_optimization: GraphOptimization
    disabled_optimizers: tuple[str, ...]


class Trial(StrictModel):
    """One form beside the one that was taken until then: CPU milliseconds of a run, by profile."""

    computation: str
    form: str
    instead_of: str
    milliseconds: tuple[float, ...]
    milliseconds_before: tuple[float, ...]
    speed: float
    """Before / now: the median over rounds of the weighted geometric mean over profiles."""
    taken: bool


class Measurement(StrictModel):
    """The winner, and the figures that made it so."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    conditions: Conditions
    tuning: Tuning
    forms: Forms
    session: Session
    trials: tuple[Trial, ...]

    def recipe(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the winner in it."""
        runtime = recipe.runtime.model_copy(update=dict(self.session))
        return recipe.model_copy(update={"forms": self.forms, "runtime": runtime})

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False) + "\n"


def described(forms: Forms, found: Measurement | None) -> dict[str, Any]:
    """Return, as plain values, which forms a graph has and what was measured of them."""
    measured = {} if found is None else {"measurement": found.model_dump(mode="json", by_alias=True)}
    return {"forms": forms.model_dump(), **measured}


def stored(path: Path, recipe: Recipe, model_sha256: str, onnxruntime: str) -> Measurement:
    """Read a measurement of this model for this recipe; RecipeError where it is of another, or of another version."""
    found = read_strict_json(path, Measurement)
    conditions = found.conditions
    for key, got, expected in (
        ("conditions.target", conditions.target, recipe.name),
        ("conditions.model_sha256", conditions.model_sha256, model_sha256),
        ("conditions.onnxruntime", conditions.onnxruntime, onnxruntime),
        ("tuning", found.tuning, recipe.tuning),
    ):
        if got != expected:
            what, hint = "the stored measurement is of something else", "remove the file, and measure with --tune"
            raise RecipeError(what, where=f"{path}: {key}", got=got, expected=expected, hint=hint)
    return found
