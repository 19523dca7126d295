"""A request's JSON, read strictly: each field of its own type, none unknown, NaN refused."""

import json
from typing import cast

from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.limits import Limits
from toolkit.runtime.strict import JSON_NAMES, loads


class Fields:
    """The fields of a request's object, or of one inside it at ``place``; RequestError 400 names a wrong one."""

    def __init__(self, value: object, known: frozenset[str], place: str = "") -> None:
        if not isinstance(value, dict):
            raise _wrong(place, "a JSON object", value)
        self.values: dict[str, object] = value
        self._place = place
        for name in self.values.keys() - known:
            what, expected = f"unknown field {self._param(name[:60])!r}", ", ".join(sorted(known))
            raise RequestError(400, f"{what}; there are: {expected}", param=self._param(name[:60]))

    def _param(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def text(self, name: str) -> str | None:
        """Return a string, or None where the field is missing or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise _wrong(self._param(name), "a string", value)
        return value

    def count(self, name: str) -> int | None:
        """Return a whole number of at least 1, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise _wrong(self._param(name), "a whole number of at least 1", value)
        return value

    def whole(self, name: str) -> int | None:
        """Return a whole number of at least 0, or None."""
        value = self.values.get(name)
        if value is not None and (type(value) is not int or value < 0):
            raise _wrong(self._param(name), "a whole number of at least 0", value)
        return value

    def number(self, name: str) -> float | None:
        """Return a number, or None."""
        value = self.values.get(name)
        if value is not None and type(value) not in (int, float):
            raise _wrong(self._param(name), "a number", value)
        return cast(float | None, value)

    def flag(self, name: str) -> bool:
        """Return true or false, false where the field is missing or null."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise _wrong(self._param(name), "true or false", value)
        return bool(value)

    def texts(self, name: str, limits: Limits) -> list[str]:
        """Return one string or a list of them as a list, within the limits."""
        value = self.required(name)
        every = [value] if isinstance(value, str) else value
        if not isinstance(every, list):
            raise _wrong(self._param(name), "a string or a list of strings", value)
        if not every:
            raise RequestError(400, f"{name!r} is empty: at least one text is needed", param=name)
        if len(every) > limits.max_inputs:
            raise RequestError(
                400, f"{name!r} has {len(every)} texts; at most {limits.max_inputs} are taken", param=name
            )
        for place, text in enumerate(every):
            _check_text(text, f"{name}[{place}]" if isinstance(value, list) else name, limits)
        return every

    def strings(self, name: str) -> list[str]:
        """Return one string or a list of them as a list, empty where the field is missing or null."""
        value = self.values.get(name)
        every = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(every, list) or not all(isinstance(one, str) for one in every):
            raise _wrong(self._param(name), "a string or a list of strings", value)
        return every

    def table(self, name: str, known: frozenset[str]) -> "Fields | None":
        """Return the fields of an object inside this one, or None."""
        value = self.values.get(name)
        return None if value is None else Fields(value, known, self._param(name))

    def tables(self, name: str, known: frozenset[str], most: int) -> list["Fields"]:
        """Return the fields of each object in a list that must be there and not be empty."""
        value, param = self.required(name), self._param(name)
        if not isinstance(value, list) or not value:
            raise _wrong(param, "a list of objects, not an empty one", value)
        if len(value) > most:
            raise RequestError(400, f"{param!r} has {len(value)} parts; at most {most} are taken", param=param)
        return [Fields(one, known, f"{param}[{place}]") for place, one in enumerate(value)]

    def required_text(self, name: str, limits: Limits) -> str:
        """Return a string that must be there, within the limits."""
        value = self.required(name)
        _check_text(value, self._param(name), limits)
        return cast(str, value)

    def refused(self, name: str, expected: str) -> RequestError:
        """Return the error of a value that has the right type and still cannot be."""
        value = json.dumps(self.values.get(name), ensure_ascii=False)[:40]
        return RequestError(400, f"{self._param(name)!r} must be {expected}, not {value}", param=self._param(name))

    def required(self, name: str) -> object:
        """Return what must be there."""
        if name not in self.values:
            raise RequestError(400, f"the field {self._param(name)!r} is missing", param=self._param(name))
        return self.values[name]


def read_fields(body: bytes, known: frozenset[str]) -> Fields:
    """Return the fields of a request's body."""
    return Fields(_parsed(body), known)


def _parsed(body: bytes) -> object:
    try:
        return loads(body)
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8: a wrong byte at {error.start}") from None
    except RecursionError:
        raise RequestError(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise RequestError(400, f"the body is not valid JSON: {str(error)[:200]}") from None


def _check_text(text: object, param: str, limits: Limits) -> None:
    if not isinstance(text, str):
        if type(text) in (int, list):
            what = f"{param!r} holds token numbers: send text, the server's tokenizer is the model's own"
            raise RequestError(400, what, param=param)
        raise _wrong(param, "a string", text)
    if len(text) > limits.max_characters:
        raise RequestError(
            400, f"{param!r} has {len(text)} characters; at most {limits.max_characters} are taken", param=param
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        what = f"{param!r} is not valid Unicode: half of a surrogate pair at position {error.start}"
        raise RequestError(400, what, param=param) from None


def _wrong(param: str, expected: str, value: object) -> RequestError:
    named = repr(param) if param else "the body"
    return RequestError(400, f"{named} must be {expected}, not {_kind(value)}", param=param or None)


def _kind(value: object) -> str:
    return JSON_NAMES[type(value)]
