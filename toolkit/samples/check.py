"""A look at a local file before ``datasets`` reads it, which says where a mistake is, in words."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from toolkit.errors import DataError, EmptySetError


@dataclass(frozen=True)
class Layout:
    """How a csv or tsv file is to be read: its columns, and whether quotes have a meaning."""

    columns: tuple[str, ...]
    quoted: bool


def text_of(path: Path) -> str:
    """Return the text of a UTF-8 file (byte order mark or not); DataError at the first other byte."""
    data = _bytes(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            "a file is not UTF-8",
            where=f"{path}, line {line}, byte offset {error.start}",
            got=f"byte 0x{data[error.start]:02x}",
            expected="UTF-8 text",
            hint=f"if it is Latin-1: iconv -f LATIN1 -t UTF-8 {path.name} > utf8{path.suffix}",
        ) from error
    if "\0" in text:
        place = f"{path}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}"
        raise DataError("a file is not text", where=place, got="a NUL character", expected="UTF-8 text")
    if not text.strip("\ufeff \t\r\n"):
        raise EmptySetError("a file is empty", where=path, expected="one row at least")
    return text.removeprefix("\ufeff")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError("a file cannot be read", where=path, got=error.strerror) from error


def check_table(path: Path, text: str, *, tabs: bool) -> Layout:
    """Return the layout of a csv or tsv file; DataError at the first line that does not fit.

    Quoting follows RFC 4180. Many tsv files know no quoting and have quotes as they are in the text: where a
    quote opens a field without closing it in the same field and line, all quotes of the file are text.
    """
    quoted = not (tabs and _has_raw_quotes(text))
    rows = _rows(path, text, tabs=tabs, quoted=quoted)
    _, header = next(rows)
    columns = tuple(header)
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise DataError("two columns have one name", where=f"{path}, line 1", got=repr(twice[0]))
    count = 0
    for line, row in rows:
        count += 1
        if len(row) != len(columns):
            raise DataError(
                "a row does not fit the header",
                where=f"{path}, line {line}",
                got=f"{len(row)} fields",
                expected=f"{len(columns)}: {', '.join(columns)}",
                hint="a text with a tab or a line break in it needs quotes"
                if tabs
                else "a text with a comma needs quotes",
            )
    if not count:
        raise EmptySetError("a file has a header and no rows", where=path, expected="one row at least")
    return Layout(columns, quoted)


def _has_raw_quotes(text: str) -> bool:
    """Tell whether a field starts with a quote and is not a quoted field as a whole."""
    fields = (field for line in text.splitlines() for field in line.split("\t") if field.startswith('"'))
    return any(len(field) < 2 or not field.endswith('"') or '"' in field[1:-1].replace('""', "") for field in fields)


def _rows(path: Path, text: str, *, tabs: bool, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    lines, tab = io.StringIO(text, newline=""), "\t" if tabs else ","
    plain = csv.reader(lines, delimiter=tab, quoting=csv.QUOTE_NONE)
    reader = csv.reader(lines, delimiter=tab, strict=True) if quoted else plain
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        hint = 'a quote inside a quoted field is written twice: ""'
        raise DataError("malformed quoting", where=f"{path}, line {line}", got=error, hint=hint) from error


def check_json(path: Path, text: str) -> None:
    """Check that a file is a JSON array of objects, or one object a line; DataError where it is not."""
    if text.lstrip().startswith("["):
        _check_array(path, text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            _check_row(_parse(path, line, number), f"{path}, line {number}")


def _check_array(path: Path, text: str) -> None:
    rows = _parse(path, text, 1)
    if not isinstance(rows, list) or not rows:
        raise EmptySetError("a JSON array is empty", where=path, expected="one row at least")
    for number, row in enumerate(rows, 1):
        _check_row(row, f"{path}, row {number}")


def _check_row(row: object, where: str) -> None:
    if not isinstance(row, dict) or not row:
        hint = "one object a line, or one array of objects"
        raise DataError("a row is no JSON object", where=where, got=repr(row)[:80], expected='{"text": ...}', hint=hint)
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DataError("half of a surrogate pair", where=where, got=error, expected="Unicode text") from error


def _parse(path: Path, text: str, line: int) -> object:
    def refuse(name: str) -> NoReturn:
        raise DataError("malformed JSON", where=f"{path}, line {line}", got=name, expected="a finite number or null")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        where = f"{path}, line {line + error.lineno - 1}, column {error.colno}"
        raise DataError(
            "malformed JSON", where=where, got=error.msg, expected="one object a line, or an array"
        ) from error
