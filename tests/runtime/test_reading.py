import io
import os
import pty
import sys
from pathlib import Path

import pytest

from toolkit.runtime.errors import TextError, UsageError
from toolkit.runtime.reading import read_texts


def read(path: Path, data: bytes, input_format: str | None = None, field: str = "text") -> list[str]:
    path.write_bytes(data)
    return list(read_texts([str(path)], input_format, field))


def test_a_text_a_line_empty_ones_too(tmp_path):
    assert read(tmp_path / "a.txt", "\ufeffone\r\n\n grün \u2028x\nlast".encode()) == [
        "one",
        "",
        " grün \u2028x",
        "last",
    ]
    assert read(tmp_path / "b", b"") == []


def test_jsonl_by_name_or_by_force(tmp_path):
    data = b'{"text": "a", "n": 1}\n\n  \n{"n": 2, "text": "b"}'
    for name, force in (("a.jsonl", None), ("a.NDJSON", None), ("a.txt", "jsonl"), ("a.json", "jsonl")):
        assert read(tmp_path / name, data, force) == ["a", "b"]
    assert read(tmp_path / "a.jsonl", b'{"text": 1}', "txt") == ['{"text": 1}']
    assert read(tmp_path / "b.jsonl", b'{"body": "x"}', field="body") == ["x"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"text": "a"}\n{oops', "not valid JSON\n  where: .*x.jsonl:2"),
        (b'["a"]', "not a JSON object\n  where: .*:1\n  got: list"),
        (b'{"body": "a", "id": 1}', "no field 'text'\n  where: .*:1\n  got: 'body', 'id'\n  hint: .*--field"),
        (b"{}", "no field 'text'\n.*\n  got: no fields"),
        (b'{"text": null}', "field 'text' is not a string\n.*\n  got: NoneType"),
        (b'{"text": "\\ud83d"}', "field 'text' is not valid Unicode"),
        (
            b'{"text": "\xff"}',
            "not UTF-8\n  where: .*:1\n  got: 0xff at byte 10 of the line\n  hint: .*iconv",
        ),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_lines_that_cannot_be_read(tmp_path, data, message):
    with pytest.raises(TextError, match=message):
        read(tmp_path / "x.jsonl", data)


def test_text_that_is_not_utf8(tmp_path):
    with pytest.raises(TextError, match=r"not UTF-8\n  where: .*x.txt:2\n  got: 0xfc at byte 2 of the line"):
        read(tmp_path / "x.txt", b"gut\ngr\xfcn\n")


def test_files_that_are_no_text_are_refused_before_any_is_read(tmp_path):
    good = tmp_path / "good.txt"
    good.write_text("a\n")
    (tmp_path / "t.csv").write_text("a,b\n")
    for bad, message in (
        ("none.txt", "no such file"),
        (".", "this is a folder"),
        ("t.csv", ".csv files are not read here"),
    ):
        with pytest.raises(UsageError, match=message):
            next(read_texts([str(good), str(tmp_path / bad)], None, "text"))


def test_stdin_among_files(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"b\nc\n")))
    assert list(read_texts([str(tmp_path / "a.jsonl"), "-"], None, "text")) == ["a", "b", "c"]


def test_closed_stdin(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        list(read_texts(["-"], None, "text"))


def test_terminal_is_told_what_is_waited_for(monkeypatch, capsys):
    ours, theirs = pty.openpty()
    os.write(ours, b"typed\n\x04")
    with os.fdopen(ours, "wb"), os.fdopen(theirs, encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert list(read_texts(["-"], None, "text")) == ["typed"]
    assert "Ctrl-D" in capsys.readouterr().err
