"""The lock: which packages and wheels an image is made of, by name, version and digest."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from toolkit.atomic import whole_file
from toolkit.errors import RecipeError

SCHEMA = 1
SHIPPED = Path(__file__).with_name("wheels.lock.json")


@dataclass(frozen=True, order=True)
class Part:
    """One file that goes into an image: a Debian package or a wheel."""

    kind: str  # deb or wheel
    architecture: str  # of the image: amd64 or arm64
    name: str
    version: str
    file: str
    sha256: str
    python: str = ""  # of a wheel: the Python version that it was chosen for


@dataclass(frozen=True)
class Lock:
    """The parts of one or more platforms; ``where`` is the file that they were read from."""

    parts: tuple[Part, ...]
    where: str = ""

    def of(self, kind: str, architecture: str) -> tuple[Part, ...]:
        """Return the parts of one kind for one architecture, in the order of their names."""
        return tuple(part for part in self.parts if (part.kind, part.architecture) == (kind, architecture))


def make_lock(parts: Iterable[Part]) -> Lock:
    """Return a lock of the parts, each once and in order."""
    return Lock(tuple(sorted(set(parts))))


def read_lock(path: Path) -> Lock:
    """Return the lock of a file; RecipeError for what is no lock."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise RecipeError("the lock is not JSON", where=path, got=error) from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("parts"), list):
        raise RecipeError("the file is no lock of this version", where=path, expected=f"schema {SCHEMA} and parts")
    parts = tuple(_part(row, f"{path}: parts[{i}]") for i, row in enumerate(found["parts"]))
    keys = [(part.kind, part.architecture, part.name, part.python) for part in parts]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise RecipeError("the lock names a part twice", where=path, got=" ".join(filter(None, twice)))
    return Lock(tuple(sorted(parts)), str(path))


def write_lock(lock: Lock, path: Path) -> None:
    """Write the lock as JSON, sorted: whole or not at all."""
    rows = [{key: value for key, value in asdict(part).items() if value} for part in sorted(lock.parts)]
    with whole_file(path) as beside:
        beside.write_text(json.dumps({"schema": SCHEMA, "parts": rows}, indent=1) + "\n", encoding="utf-8")


def _part(row: Any, where: str) -> Part:  # noqa: ANN401 - what JSON gives
    known = {field.name for field in fields(Part)}
    if not isinstance(row, Mapping) or not all(isinstance(value, str) for value in row.values()):
        raise RecipeError("a part of the lock is no object of strings", where=where, got=row)
    wrong = sorted(known - {"python"} - row.keys() | row.keys() - known)
    if wrong:
        raise RecipeError("a part of the lock lacks a key, or has a strange one", where=where, got=", ".join(wrong))
    part = Part(**row)
    if part.kind not in ("deb", "wheel") or not re.fullmatch("[0-9a-f]{64}", part.sha256) or "/" in part.file:
        raise RecipeError("a part of the lock cannot be", where=where, got=f"{part.kind} {part.file} {part.sha256}")
    return part
