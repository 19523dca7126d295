"""The sets that come with edgequant: ``calibration/<name>/set.toml`` and the files beside it."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from toolkit.errors import DataError, RecipeError, UsageError
from toolkit.paths import data_folder
from toolkit.runtime.manifest import Task
from toolkit.strict import StrictModel, nearest, read_strict

Count = Annotated[int, Field(ge=1)]


class Columns(StrictModel):
    """Which column has which role."""

    text: str
    text2: str | None = None
    label: str | None = None
    score: str | None = None
    tags: str | None = None


class Part(StrictModel):
    """One file of a set, and what it must be."""

    file: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    columns: Columns
    rows: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CalibrationPart(Part):
    """The texts that ranges are taken from.

    ``paragraphs`` further samples are made by joining consecutive texts, none used twice, as long as
    ``paragraph_characters`` allows: the ranges of long inputs are not those of sentences. ``also`` names other shipped
    sets, and how many of their calibration texts follow: the ranges of one kind of text are not those of all.
    """

    paragraphs: Annotated[int, Field(ge=0)] = 0
    paragraph_characters: Count = 1200
    also: dict[str, Count] = Field(default_factory=dict)


class EvaluationPart(Part):
    """The rows that accuracy is measured on, and the labels that there may be."""

    labels: tuple[str, ...] = ()


class SetDescription(StrictModel):
    """A ``set.toml``."""

    version: Literal[1] = Field(alias="schema")
    name: str
    tasks: tuple[Task, ...]
    description: str
    source: str
    licence: str
    attribution: str
    calibration: CalibrationPart
    evaluation: EvaluationPart


@dataclass(frozen=True)
class SetInfo:
    """What a list of the shipped sets shows of one."""

    name: str
    tasks: tuple[Task, ...]
    description: str
    licence: str
    source: str
    calibration_rows: int
    evaluation_rows: int


def shipped_sets() -> tuple[SetInfo, ...]:
    """Return the sets that come with edgequant, by name."""
    return tuple(
        SetInfo(
            name=each.name,
            tasks=each.tasks,
            description=each.description,
            licence=each.licence,
            source=each.source,
            calibration_rows=each.calibration.rows,
            evaluation_rows=each.evaluation.rows,
        )
        for each in map(describe, shipped_names())
    )


def default_set(task: str) -> str:
    """Return the name of the shipped set for a task; UsageError when there is none."""
    names = {str(task): each.name for each in reversed(shipped_sets()) for task in each.tasks}
    if task not in names:
        raise UsageError(
            "no set is shipped for this task",
            got=repr(task),
            expected=", ".join(sorted(names)),
            hint=nearest(task, names) or "give a FILE or a hub:ID",
        )
    return names[task]


def shipped_names() -> tuple[str, ...]:
    """Return the names of the shipped sets in order."""
    return tuple(sorted(path.parent.name for path in data_folder("calibration").glob("*/set.toml")))


@cache
def describe(name: str) -> SetDescription:
    """Return the description of a shipped set; RecipeError when its ``set.toml`` is wrong."""
    path = data_folder("calibration") / name / "set.toml"
    description = read_strict(path, SetDescription)
    if description.name != name:
        raise RecipeError("a set is not named as its folder", where=path, got=description.name, expected=name)
    return description


def checked_file(name: str, part: Part) -> Path:
    """Return the path of a set's file; DataError when its bytes are not those that ``set.toml`` names."""
    path = data_folder("calibration") / name / part.file
    hint = "install edgequant again, or restore the file"
    if not path.is_file():
        raise DataError("a file of a shipped set is missing", where=path, hint=hint)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != part.sha256:
        raise DataError(
            "a file of a shipped set was changed",
            where=path,
            got=f"sha256 {digest}",
            expected=f"sha256 {part.sha256}",
            hint=hint,
        )
    return path


def paragraphs(texts: tuple[str, ...], part: CalibrationPart) -> list[str]:
    """Return ``part.paragraphs`` joined texts, fewer when the texts don't suffice."""
    made: list[str] = []
    current = ""
    for text in texts:
        if len(made) == part.paragraphs:
            break
        if current and len(current) + 1 + len(text) > part.paragraph_characters:
            made.append(current)
            current = text
        else:
            current = f"{current} {text}" if current else text
    return made
