"""Texts from files and standard input: a text a line, or one field of JSON lines."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from toolkit.runtime.errors import TextError, UsageError

STDIN = "-"
FORMATS = ("txt", "jsonl")

_JSONL = (".jsonl", ".ndjson")
# A line of these is no text: embedding them line by line would be a silent mistake.
_REFUSED = (".csv", ".tsv", ".json", ".parquet", ".gz", ".zst", ".zip")


def read_texts(files: Sequence[str], input_format: str | None, field: str) -> Iterator[str]:
    """Yield the texts of ``files`` in their order, line by line; ``-`` is standard input.

    ``input_format`` is txt or jsonl; None goes by each file's name. Every file is looked at before the first
    is read. UsageError for a file that is not there, TextError with file and line for what cannot be read.
    """
    formats = [input_format or _format_of(name) for name in files]
    return _texts(list(zip(files, formats, strict=True)), field)


def _texts(sources: Iterable[tuple[str, str]], field: str) -> Iterator[str]:
    for name, kind in sources:
        if name == STDIN:
            yield from _read(_stdin(), "stdin", kind, field)
            continue
        with Path(name).open("rb") as handle:
            yield from _read(handle, name, kind, field)


def _format_of(name: str) -> str:
    if name == STDIN:
        return "txt"
    path = Path(name)
    if not path.exists():
        raise UsageError("there is no such file", where=name)
    if path.is_dir():
        raise UsageError("a text file is expected, this is a folder", where=name)
    suffix = path.suffix.lower()
    if suffix in _REFUSED:
        hint = "convert it, or say --input-format txt to take each line as a text"
        raise UsageError(f"{suffix} files are not read here", where=name, expected=".txt or .jsonl", hint=hint)
    return "jsonl" if suffix in _JSONL else "txt"


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise UsageError("standard input is closed", hint="name a file, or pipe texts in")
    if sys.stdin.isatty():
        print("reading texts from the terminal, one a line; end with Ctrl-D", file=sys.stderr)
    return sys.stdin.buffer


def _read(handle: BinaryIO, name: str, kind: str, field: str) -> Iterator[str]:
    for number, raw in enumerate(handle, 1):
        where = f"{name}:{number}"
        line = _decode(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, where)
        if kind == "txt":
            yield line.removesuffix("\n").removesuffix("\r")
        elif line.strip():
            yield _field_of(line, field, where)


def _decode(raw: bytes, where: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        got = f"0x{raw[error.start]:02x} at byte {error.start} of the line"
        hint = "convert it: iconv -f ENCODING -t UTF-8 FILE"
        raise TextError("the text is not UTF-8", where=where, got=got, hint=hint) from None


def _field_of(line: str, field: str, where: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TextError("the line is not valid JSON", where=where, got=error) from None
    if not isinstance(row, dict):
        raise TextError("the line is not a JSON object", where=where, got=type(row).__name__)
    if field not in row:
        got = ", ".join(map(repr, row)) or "no fields"
        raise TextError(f"the line has no field {field!r}", where=where, got=got, hint="name the field with --field")
    text = row[field]
    if not isinstance(text, str):
        raise TextError(f"field {field!r} is not a string", where=where, got=type(text).__name__)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TextError(f"field {field!r} is not valid Unicode", where=where, got="half of a surrogate pair") from None
    return text
