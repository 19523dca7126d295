"""JSON read strictly into frozen dataclasses, by their annotations: nothing missing, nothing unknown."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from types import NoneType, UnionType
from typing import Literal, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

from toolkit.runtime.errors import BundleError

T = TypeVar("T")

_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
JSON_NAMES = {**_NAMES, dict: "an object", list: "a list"}


def loads(data: bytes) -> object:
    """Return the JSON value in ``data``; ValueError if it is not UTF-8 or JSON, holds NaN or a key twice.

    RecursionError if it is nested very deeply.
    """
    return json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_twins)


def parse(data: bytes, where: object) -> object:
    """Return the JSON value in ``data``; BundleError if it is not UTF-8 or JSON, or has a key twice."""
    try:
        return loads(data)
    except UnicodeDecodeError as error:
        raise BundleError(
            "the file is not UTF-8", where=where, got=f"byte {error.start} is 0x{data[error.start]:02x}"
        ) from None
    except RecursionError:
        raise BundleError("the file is not JSON that can be read", where=where, got="very deep nesting") from None
    except ValueError as error:
        raise BundleError("the file is not valid JSON", where=where, got=error) from None


def read(kind: type[T], value: object, where: object) -> T:
    """Return parsed JSON as the dataclass ``kind``; BundleError names file, key, got and expected."""
    return cast(T, _Reader(where).read(kind, value, ""))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()  # not a count of each name: a million names may come from anybody
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"key {name[:80]!r} occurs twice")
            seen.add(name)
    return found


class _Reader:
    """Reads the values of one file, each by the type that an annotation asks for."""

    def __init__(self, where: object) -> None:
        self.where = where

    def read(self, kind: object, value: object, key: str) -> object:
        if kind is object:
            return value
        if kind in (str, int, bool, NoneType):
            return value if type(value) is kind else self.refuse(key, value, _NAMES[cast(type, kind)])
        if kind is float:
            number = type(value) in (float, int) and isfinite(cast(float, value))
            return float(cast(float, value)) if number else self.refuse(key, value, _NAMES[float])
        if is_dataclass(kind):
            return self.record(cast(type, kind), value, key)
        return self.generic(kind, value, key)

    def generic(self, kind: object, value: object, key: str) -> object:
        origin, args = get_origin(kind), get_args(kind)
        if origin is Literal:
            return value if value in args else self.refuse(key, value, "one of " + ", ".join(map(repr, args)))
        if origin is UnionType:  # X | None
            return None if value is None else self.read(args[0], value, key)
        if origin is tuple:
            if type(value) is not list:
                self.refuse(key, value, "a list")
            if args[0] is float and _all_floats(cast(list[object], value)):
                return tuple(cast(list[object], value))
            return tuple(self.read(args[0], item, f"{key}[{i}]") for i, item in enumerate(cast(list[object], value)))
        if origin is Mapping:
            pairs = self.pairs(value, key)
            return {name: self.read(args[1], item, self.join(key, name)) for name, item in pairs.items()}
        raise TypeError(f"no reader for {kind}")

    def record(self, kind: type, value: object, key: str) -> object:
        pairs = self.pairs(value, key)
        names = [field.name for field in fields(kind)]
        for name in pairs.keys() - set(names):
            from difflib import get_close_matches  # noqa: PLC0415 - a start has no use for it

            hint = "".join(f"did you mean {near!r}?" for near in get_close_matches(name, names, 1))
            raise BundleError(
                f"unknown key {self.join(key, name)!r}",
                where=self.where,
                expected=", ".join(names),
                hint=hint,
            )
        for name in names:
            if name not in pairs:
                got = ", ".join(pairs) or "nothing"
                raise BundleError(f"missing key {self.join(key, name)!r}", where=self.where, got=got)
        hints = get_type_hints(kind)
        return kind(**{name: self.read(hints[name], pairs[name], self.join(key, name)) for name in names})

    def pairs(self, value: object, key: str) -> dict[str, object]:
        if type(value) is not dict:
            self.refuse(key, value, "an object")
        return cast(dict[str, object], value)

    def refuse(self, key: str, value: object, expected: str) -> NoReturn:
        shown = repr(value) if isinstance(value, str | int | float) else ""
        got = f"{shown[:80]} ({JSON_NAMES[type(value)]})" if shown else JSON_NAMES[type(value)]
        what = f"wrong value for key {key!r}" if key else "wrong content"
        raise BundleError(what, where=self.where, got=got, expected=expected)

    @staticmethod
    def join(key: str, name: str) -> str:
        return f"{key}.{name}" if key else name


def _all_floats(values: list[object]) -> bool:
    """Tell whether a list holds finite floats and nothing else: most of a manifest's numbers, told without words."""
    return all(type(value) is float for value in values) and all(map(isfinite, cast(list[float], values)))
