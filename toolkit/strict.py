"""Strict TOML: a file read into a pydantic model, with every mistake named by file, key and nearest name."""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from toolkit.errors import RecipeError

M = TypeVar("M", bound=BaseModel)
Key = str | int


class StrictModel(BaseModel):
    """A table of a strict file: no unknown key, no converted value, no change afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read_strict(path: Path, model: type[M]) -> M:
    """Read a TOML file into ``model``.

    Raises RecipeError at the first mistake: unreadable file, TOML syntax, unknown or missing key, wrong
    type, impossible value.
    """
    return _validated(path, model, _read_toml(path))


def read_strict_json(path: Path, model: type[M]) -> M:
    """Read a JSON file into ``model``; raises RecipeError as ``read_strict`` does."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError("cannot read a JSON file", where=path, got=error.strerror) from error
    except ValueError as error:
        raise RecipeError("not valid JSON", where=path, got=error) from error
    return _validated(path, model, data)


def _validated(path: Path, model: type[M], data: Any) -> M:  # noqa: ANN401 - what a file holds
    try:
        # By way of JSON, because only then strict pydantic takes an array for a tuple. TOML's dates, which
        # JSON lacks, become arrays: no field takes those, so that the error names their key.
        return model.model_validate_json(json.dumps(data, default=lambda value: [str(value)]))
    except ValidationError as error:
        raise _explain(path, model, data, error) from None


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the hint that names the most similar of ``names``; empty when none is similar."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"did you mean {found[0]!r}?" if found else ""


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise RecipeError("cannot read a TOML file", where=path, got=error.strerror) from error
    except UnicodeDecodeError as error:
        got = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
        raise RecipeError("a TOML file is not UTF-8", where=path, got=got, expected="UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError("not valid TOML", where=path, got=error) from error


def _explain(path: Path, model: type[BaseModel], data: object, error: ValidationError) -> RecipeError:
    details = error.errors(include_url=False)
    # One typing slip makes both an unknown key and a missing one: the unknown one tells more.
    first = min(details, key=lambda detail: detail["type"] != "extra_forbidden")
    keys, value = _locate(data, first["loc"], missing=first["type"] == "missing")
    dotted = ".".join(map(str, keys))
    where = f"{path}: {dotted}" if dotted else path
    message = re.sub(r"^(Input|Value) (should be|error,) ", "", first["msg"])
    if first["type"] == "missing":
        return RecipeError(f"the key {dotted!r} is missing", where=where)
    if first["type"] == "extra_forbidden":
        names = sorted(_names(_at(model, keys[:-1])))
        unknown = str(keys[-1])
        return RecipeError(
            f"unknown key {unknown!r}", where=where, expected=", ".join(names), hint=nearest(unknown, names)
        )
    hint = nearest(value, re.findall(r"'([^']+)'", message)) if isinstance(value, str) else ""
    return RecipeError("wrong value", where=where, got=repr(value), expected=message, hint=hint)


def _locate(data: object, loc: Sequence[Key], *, missing: bool) -> tuple[list[Key], object]:
    """Follow pydantic's location through the data, leaving out the union branches that it interleaves."""
    keys: list[Key] = []
    for number, part in enumerate(loc, 1):
        inside = isinstance(data, dict) and part in data
        inside = inside or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if inside:
            keys.append(part)
            data = data[part]  # type: ignore[index]
        elif missing and number == len(loc):
            keys.append(part)
    return keys, data


def _at(model: type[BaseModel], keys: Sequence[Key]) -> list[object]:
    """Return the types that may stand under ``keys``: one, or more where the model has a union."""
    types: list[object] = [model]
    for key in keys:
        types = [child for kind in types for leaf in _leaves(kind) for child in _children(leaf, key)]
    return [leaf for kind in types for leaf in _leaves(kind)]


def _leaves(kind: object) -> list[object]:
    if get_origin(kind) is Annotated:
        return _leaves(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [leaf for branch in get_args(kind) for leaf in _leaves(branch)]
    return [kind]


def _children(kind: object, key: Key) -> list[object]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [field.annotation for name, field in kind.model_fields.items() if key in (name, field.alias)]
    origin = get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return [get_args(kind)[1]]
    return [each for each in get_args(kind) if each is not Ellipsis]


def _names(kinds: Iterable[object]) -> set[str]:
    """Return the keys that these tables take, as the file spells them."""
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return {field.alias or name for model in models for name, field in model.model_fields.items()}
