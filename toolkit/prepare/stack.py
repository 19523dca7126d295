"""``stack.toml``, strict: the models of one app, the targets, and the image that they go into."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from toolkit.errors import RecipeError
from toolkit.runtime.manifest import Task
from toolkit.sources import Pooling
from toolkit.strict import StrictModel, nearest, read_strict
from toolkit.targets import Bits, Decision

Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class ColumnNames(StrictModel):
    """Which column of a set has which role; a role that is left out is found by the usual names."""

    text: Text | None = None
    text2: Text | None = None
    label: Text | None = None
    score: Text | None = None
    tags: Text | None = None


class SetTable(StrictModel):
    """A set of texts: the name of a shipped one, a file, or ``hub:ID``."""

    set: Text
    columns: ColumnNames = ColumnNames()
    samples: Count | None = None


class ModelTable(StrictModel):
    """One model of the app; what is None is as the model's own files, the task's shipped set or the recipe say."""

    model: Text
    revision: Text | None = None
    task: Task | None = None
    pooling: Pooling | None = None
    normalize: bool | None = None
    tokenizer: Text | None = None
    max_length: Count | None = None
    targets: tuple[Text, ...] | None = None
    calibration: SetTable | None = None
    evaluation: SetTable | None = None
    limits: Text | None = None
    decision: Decision | None = None
    bits: Bits | None = None
    fallback_for: Text | None = None


class ImageTable(StrictModel):
    """The one image of all bundles; without this table none is made."""

    out: Text = "image"
    name: Text | None = None
    platforms: tuple[Literal["linux/amd64", "linux/arm64"], ...] | None = None
    slim: bool = False
    compression: Literal["gzip", "zstd"] = "gzip"
    labels: Mapping[str, str] = {}
    base: Text | None = None
    lock: Text | None = None


class Stack(StrictModel):
    """All of the file. Paths in it start at the file's folder, the image's at ``out``."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: Text
    targets: tuple[Text, ...] = ()
    out: Text | None = None
    models: Mapping[str, ModelTable]
    image: ImageTable | None = None

    def targets_of(self, model: ModelTable) -> tuple[str, ...]:
        """Return the targets of one model: its own, or those of the stack."""
        return self.targets if model.targets is None else model.targets


def read_stack(path: Path) -> Stack:
    """Read the file; RecipeError names the first mistake."""
    stack = read_strict(path, Stack)
    for key, got, expected, hint in _problems(stack):
        raise RecipeError("wrong value", where=f"{path}: {key}", got=repr(got), expected=expected, hint=hint)
    return stack


def _problems(stack: Stack) -> Iterator[tuple[str, object, str, str]]:
    """Yield key, got, expected and hint of each value that has the right type and still cannot be."""
    plain = "letters, digits, dots, dashes and underscores: it becomes the name of a folder"
    if not NAME.fullmatch(stack.name):
        yield "name", stack.name, plain, ""
    if not stack.models:
        yield "models", "no model", "one table [models.NAME] at least", ""
    for name, model in stack.models.items():
        if not NAME.fullmatch(name):
            yield f"models.{name}", name, plain, ""
        if not stack.targets_of(model):
            yield f"models.{name}.targets", "no target", "one target at least", "`edgequant targets` lists them"
        others = [other for other in stack.models if other != name]
        if model.fallback_for is not None and model.fallback_for not in others:
            hint = nearest(model.fallback_for, others)
            yield f"models.{name}.fallback_for", model.fallback_for, "the name of another model", hint
        elif name in _stands_in_for(stack, name):
            yield f"models.{name}.fallback_for", model.fallback_for, "no circle of fallbacks", ""


def _stands_in_for(stack: Stack, name: str) -> list[str]:
    """Return the models that ``name`` stands in for, the nearest first; it is among them where they go in a circle."""
    found: list[str] = []
    following = stack.models[name].fallback_for
    while following is not None and following in stack.models and following not in found:
        found.append(following)
        following = stack.models[following].fallback_for
    return found
