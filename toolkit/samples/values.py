"""The cells of a column, checked and converted. Rows count from 1, without the header."""

import math
from collections.abc import Sequence

from toolkit.errors import DataError
from toolkit.samples.samples import Labels

Column = Sequence[object]


def texts(column: Column, name: str, where: str) -> tuple[str, ...]:
    """Return a column of texts, blank ones included; DataError when a cell is missing or no text.

    A list of words is a text too: they are joined by spaces.
    """
    column = [_joined(value) for value in column]
    for row, value in enumerate(column, 1):
        if not isinstance(value, str):
            what = "a text is missing" if _missing(value) else "a cell is no text"
            raise _error(what, (where, row, name), value, "text")
    return tuple(value for value in column if isinstance(value, str))


def no_blank(column: tuple[str, ...], name: str, where: str) -> tuple[str, ...]:
    """Return the column; DataError when a text has nothing but white space."""
    for row, value in enumerate(column, 1):
        if not value.strip():
            raise _error("a text is blank", (where, row, name), value, "text")
    return column


def scores(column: Column, name: str, where: str) -> tuple[float, ...]:
    """Return a column of finite numbers; DataError where a cell is none."""
    result = []
    for row, value in enumerate(column, 1):
        number = _number(value)
        if not math.isfinite(number):
            raise _error("a score is no finite number", (where, row, name), value, "a finite number")
        result.append(number)
    return tuple(result)


def labels(column: Column, name: str, where: str) -> Labels:
    """Return a column of classes: numbers when every cell is a whole number, else names.

    Raises DataError when a class is missing, and for fractions, which are scores.
    """
    for row, value in enumerate(column, 1):
        if _missing(value) or (isinstance(value, str) and not value.strip()):
            raise _error("a label is missing", (where, row, name), value, "a class")
        if not isinstance(value, str | int | float) or _is_fraction(value):
            hint = "if these are similarities, give this column the role score"
            raise _error("a label is no class", (where, row, name), value, "a name or a whole number", hint)
    numbers = [_whole(value) for value in column]
    if None not in numbers:
        return tuple(number for number in numbers if number is not None)
    for row, value in enumerate(column, 1):
        if not isinstance(value, str):
            raise _error("labels are numbers and names mixed", (where, row, name), value, "a name")
    return tuple(value.strip() for value in column if isinstance(value, str))


def tags(column: Column, of: Sequence[str], name: str, where: str) -> tuple[Labels, ...]:
    """Return a column of tags, a list of them or one text with spaces: one for each word of the texts ``of``.

    Raises DataError where they are not as many as the words, which white space separates.
    """
    found = []
    for row, (value, text) in enumerate(zip(column, of, strict=True), 1):
        cells = value.split() if isinstance(value, str) else value
        words = len(text.split())
        if not isinstance(cells, list) or len(cells) != words:
            raise _error("tags do not fit the words", (where, row, name), value, f"{words} tags, one a word")
        found.append(labels(cells, name, f"{where}, text {row}"))
    return tuple(found)


def _joined(value: object) -> object:
    words = value if isinstance(value, list) and all(isinstance(word, str) for word in value) else None
    return " ".join(words) if words is not None else value


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _is_fraction(value: object) -> bool:
    number = _number(value)
    return math.isfinite(number) and not number.is_integer()


def _whole(value: object) -> int | None:
    number = _number(value)
    return int(number) if math.isfinite(number) else None


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _error(what: str, place: tuple[str, int, str], value: object, expected: str, hint: str = "") -> DataError:
    where = f"{place[0]}, row {place[1]}, column {place[2]!r}"
    got = "nothing" if value is None else repr(value)[:80]
    return DataError(what, where=where, got=got, expected=expected, hint=hint)
