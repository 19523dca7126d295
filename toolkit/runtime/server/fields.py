"""A request's JSON, read strictly: each field of its own type, none unknown, NaN refused."""

from typing import cast

from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.limits import Limits
from toolkit.runtime.strict import JSON_NAMES, loads


class Fields:
    """The fields of one request's object; RequestError 400 names the one that is wrong."""

    def __init__(self, body: bytes, known: frozenset[str]) -> None:
        value = _parsed(body)
        if not isinstance(value, dict):
            raise RequestError(400, f"the body must be a JSON object, not {_kind(value)}")
        self.values: dict[str, object] = value
        for name in self.values.keys() - known:
            expected = ", ".join(sorted(known))
            raise RequestError(400, f"unknown field {name[:60]!r}; there are: {expected}", param=name[:60])

    def text(self, name: str) -> str | None:
        """Return a string, or None where the field is missing or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise _wrong(name, "a string", value)
        return value

    def count(self, name: str) -> int | None:
        """Return a whole number of at least 1, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise _wrong(name, "a whole number of at least 1", value)
        return value

    def flag(self, name: str) -> bool:
        """Return true or false, false where the field is missing or null."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise _wrong(name, "true or false", value)
        return bool(value)

    def texts(self, name: str, limits: Limits) -> list[str]:
        """Return one string or a list of them as a list, within the limits."""
        value = self.required(name)
        every = [value] if isinstance(value, str) else value
        if not isinstance(every, list):
            raise _wrong(name, "a string or a list of strings", value)
        if not every:
            raise RequestError(400, f"{name!r} is empty: at least one text is needed", param=name)
        if len(every) > limits.max_inputs:
            raise RequestError(
                400, f"{name!r} has {len(every)} texts; at most {limits.max_inputs} are taken", param=name
            )
        for place, text in enumerate(every):
            _check_text(text, f"{name}[{place}]" if isinstance(value, list) else name, limits)
        return every

    def required_text(self, name: str, limits: Limits) -> str:
        """Return a string that must be there, within the limits."""
        value = self.required(name)
        _check_text(value, name, limits)
        return cast(str, value)

    def required(self, name: str) -> object:
        """Return what must be there."""
        if name not in self.values:
            raise RequestError(400, f"the field {name!r} is missing", param=name)
        return self.values[name]


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
    return RequestError(400, f"{param!r} must be {expected}, not {_kind(value)}", param=param)


def _kind(value: object) -> str:
    return JSON_NAMES[type(value)]
