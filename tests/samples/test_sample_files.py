"""Local files of every kind: what is read, and each mistake that a file can have."""

import csv
import io
import json
import logging
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import toolkit.samples.table
from toolkit.errors import DataError, MissingExtraError, UsageError
from toolkit.samples import load_samples

Write = Callable[[str, str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def do(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return do


def refusal(error: type[Exception], spec: str, role: str = "evaluation", **options: object) -> str:
    with pytest.raises(error) as caught:
        load_samples(spec, role, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_csv_with_quotes_and_words_that_look_like_missing_values(write: Write) -> None:
    content = 'Sentence1,s2,Score,other\n"a, ""b""\nc",NA,0.5,1\n007,None,1,2\n'
    found = load_samples(write("a.csv", content), "evaluation")
    assert found.texts == ('a, "b"\nc', "007")
    assert found.pairs == ("NA", "None")
    assert found.scores == (0.5, 1.0)
    assert found.labels is None
    assert (found.name, found.source, found.licence) == ("a.csv", "local file a.csv", "not stated")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\nhi,1\nho ho,0\n"),
        ("b.csv", "\ufefftext,label\r\nhi,1\r\nho ho,0"),
        ("c.tsv", "text\tlabel\nhi\t1.0\nho ho\t0.0\n"),
        ("d.jsonl", '{"text": "hi", "label": 1}\n\n{"text": "ho ho", "label": 0}\n'),
        ("e.json", '[{"text": "hi", "label": 1},\n {"text": "ho ho", "label": 0}]'),
        ("f.JSONL", '\ufeff{"review": "hi", "labels": true}\n{"review": "ho ho", "labels": false}'),
    ],
)
def test_every_kind_gives_the_same(write: Write, name: str, content: str) -> None:
    found = load_samples(write(name, content), "evaluation")
    assert found.texts == ("hi", "ho ho")
    assert found.labels == (1, 0)
    assert all(type(label) is int for label in found.labels)
    assert found.digest == load_samples(write("z.csv", "text,label\nhi,1\nho ho,0\n"), "evaluation").digest


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"content": ["x", "y"], "label": ["pos", "neg"]}), path)
    found = load_samples(str(path), "evaluation")
    assert (found.texts, found.labels) == (("x", "y"), ("pos", "neg"))


def test_text_file_has_one_text_a_line(write: Write) -> None:
    found = load_samples(write("a.txt", "\ufeffone, two\u2028three\r\n\n four\n"), "calibration")
    assert found.texts == ("one, two\u2028three", " four")


def test_calibration_takes_both_columns_drops_blanks_and_counts_a_text_once(write: Write) -> None:
    found = load_samples(write("a.csv", 'text,text2,label\na,b,x\n" ",a,y\n'), "calibration")
    assert found.texts == ("a", "b")
    assert (found.pairs, found.scores, found.labels) == (None, None, None)


def test_tsv_with_raw_quotes(write: Write) -> None:
    found = load_samples(write("a.tsv", 'text\ttext2\n"Yes," he said\tno\nthe "end"\t"\n'), "evaluation")
    assert found.texts == ('"Yes," he said', 'the "end"')
    assert found.pairs == ("no", '"')


def test_tsv_with_quoting(write: Write) -> None:
    found = load_samples(write("a.tsv", 'text\tlabel\n"He said ""hi"""\ta\n"x"\tb\n'), "evaluation")
    assert found.texts == ('He said "hi"', "x")


def test_columns_that_the_caller_names(write: Write) -> None:
    path = write("a.csv", "id,text,body,similar\n1,a,b,.5\n")
    found = load_samples(path, "evaluation", {"text": "body", "text2": "text", "score": "similar"})
    assert (found.texts, found.pairs, found.scores) == (("b",), ("a",), (0.5,))


def test_one_column_is_the_text_whatever_its_name(write: Write) -> None:
    assert load_samples(write("a.csv", "utterance\nhello\n"), "evaluation").texts == ("hello",)


def test_a_score_without_pair_is_left_out(write: Write) -> None:
    assert load_samples(write("a.csv", "text,score\nhello,1\n"), "evaluation").scores is None


def test_limit_is_spread_evenly(write: Write) -> None:
    path = write("a.csv", "text,label\n" + "".join(f"t{n},{n}\n" for n in range(10)))
    found = load_samples(path, "evaluation", limit=4)
    assert found.texts == ("t0", "t2", "t5", "t7")
    assert found.labels == (0, 2, 5, 7)
    assert load_samples(path, "evaluation", limit=99) == load_samples(path, "evaluation")


WRONG_FILES = [
    ("a.csv", b"text\nok\n\xe9t\xe9\n", ["a.csv, line 3, byte offset 8", "0xe9", "iconv -f LATIN1"]),
    ("a.txt", b"caf\xe9\n", ["not UTF-8", "line 1, byte offset 3"]),
    ("a.jsonl", b'{"text": "\xff"}', ["not UTF-8", "byte offset 10"]),
    ("a.csv", "text,label\na\0b,1\n", ["NUL character", "line 2"]),
    ("a.csv", "", ["a file is empty"]),
    ("a.txt", "\ufeff\n\n", ["a file is empty"]),
    ("a.csv", "text,label\n", ["a header and no rows"]),
    ("a.json", "[]", ["array is empty"]),
    ("a.csv", "text,text\na,b\n", ["two columns have one name", "'text'"]),
    ("a.csv", "text,label\na,1\nhello, world,1\n", ["a.csv, line 3", "3 fields", "2: text, label", "quotes"]),
    ("a.csv", "text,label\na,1\nb\n", ["line 3", "1 fields"]),
    ("a.tsv", "text\tlabel\na\tb\tc\n", ["line 2", "3 fields"]),
    ("a.csv", 'text,label\nx,1\n"a"b,1\n', ["malformed quoting", "line 3", "written twice"]),
    ("a.csv", 'text,label\n"a,1\n', ["malformed quoting", "line 2", "unexpected end"]),
    ("a.jsonl", '{"text": "a"}\n{"text": \n', ["malformed JSON", "line 2, column 10"]),
    ("a.jsonl", '{"text": "a"}\n["b"]\n', ["no JSON object", "line 2", "one object a line"]),
    ("a.jsonl", '{"text": "a", "score": NaN}', ["malformed JSON", "line 1", "NaN"]),
    ("a.jsonl", '{"text": "\\ud800"}', ["surrogate", "line 1"]),
    ("a.json", '[{"text": "a"},\n{"text" "b"}]', ["malformed JSON", "line 2, column 9"]),
    ("a.json", '["a"]', ["no JSON object", "row 1"]),
    ("a.parquet", b"no parquet at all", ["cannot be read", "a parquet file"]),
    ("a.jsonl", '{"text": "a"}\n{"text": null}', ["a text is missing", "row 2, column 'text'", "nothing"]),
    ("a.jsonl", '{"text": "a"}\n{"other": "b"}', ["a text is missing", "row 2"]),
    ("a.jsonl", '{"text": 5}', ["a cell is no text", "row 1", "got: 5"]),
    ("a.csv", "text,label\na,1\n ,0\n", ["a text is blank", "row 2"]),
    ("a.csv", "s1,s2,score\na,b,1\na,b,high\n", ["no finite number", "row 2, column 'score'", "'high'"]),
    ("a.csv", "s1,s2,score\na,b,nan\n", ["no finite number", "row 1"]),
    ("a.jsonl", '{"s1": "a", "s2": "b", "score": null}', ["no finite number", "nothing"]),
    ("a.csv", "text,label\na,\n", ["a label is missing", "row 1"]),
    ("a.csv", "text,label\na,3.2\n", ["a label is no class", "role score"]),
    ("a.jsonl", '{"text": "a", "label": ["x"]}', ["a label is no class"]),
]


@pytest.mark.parametrize(("name", "content", "words"), WRONG_FILES)
def test_wrong_files(write: Write, name: str, content: str | bytes, words: list[str]) -> None:
    message = refusal(DataError, write(name, content))
    assert [word for word in words if word not in message] == [], message
    assert name in message


def test_labels_of_two_types(write: Write) -> None:
    message = refusal(DataError, write("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": "x"}'))
    assert "labels are numbers and names mixed" in message


def test_only_blank_texts_are_an_empty_calibration_set(write: Write) -> None:
    assert "a set has no text" in refusal(DataError, write("a.csv", "text,label\n ,1\n"), "calibration")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("stbs", ["no such file or shipped set", "'stbs'", "stsb, tinystories", "did you mean 'stsb'?"]),
        ("no/where.csv", ["'no/where.csv'", "hub:ID"]),
        (".", ["a folder is no set of texts"]),
    ],
)
def test_nothing_there(spec: str, words: list[str]) -> None:
    message = refusal(UsageError, spec)
    assert [word for word in words if word not in message] == [], message
    assert UsageError.exit_code == 2


@pytest.mark.parametrize(("name", "words"), [("a.xlsx", "'.xlsx'"), ("a", "no suffix"), ("a.jsonn", "'.json'")])
def test_unknown_suffix(write: Write, name: str, words: str) -> None:
    message = refusal(UsageError, write(name, "x"))
    assert "unknown kind of file" in message
    assert words in message


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"text": "txet"},
            ["no such column for the role text", "'txet'", "one of id, text, n", "did you mean 'text'?"],
        ),
        ({"txt": "text"}, ["no such role", "text, text2, label, score, tags", "did you mean 'text'?"]),
        ({"score": "n"}, ["a score needs a second text"]),
    ],
)
def test_wrong_columns(write: Write, columns: dict[str, str], words: list[str]) -> None:
    message = refusal(UsageError, write("a.csv", "id,text,n\n1,a,2\n"), columns=columns)
    assert [word for word in words if word not in message] == [], message


def test_no_column_that_is_text(write: Write) -> None:
    message = refusal(UsageError, write("a.csv", "foo,bar\n1,2\n"))
    assert "which column is the text?" in message
    assert "the columns foo, bar" in message


def test_limit_of_nothing() -> None:
    assert "1 or more" in refusal(UsageError, "stsb", limit=0)


def test_unreadable_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    message = refusal(DataError, write("a.csv", "text\na\n"))
    assert "a file cannot be read" in message
    assert "Permission denied" in message


def test_without_datasets(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    message = refusal(MissingExtraError, write("a.csv", "text\na\n"))
    assert "hint: pip install 'edgequant[quantize]'" in message


def test_leaves_no_file_no_output_and_no_setting(write: Write, tmp_path: Path) -> None:
    path = write("a.csv", "text\na\n")
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "tmp").mkdir()
    code = (
        "import os, sys\nfrom toolkit.samples import load_samples\n"
        "assert not {'datasets', 'pandas', 'pyarrow'} & set(sys.modules)\nbefore = dict(os.environ)\n"
        f"load_samples({path!r}, 'calibration')\nload_samples('stsb', 'evaluation')\n"
        "assert before == dict(os.environ)"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))},
        "HOME": str(home),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [*home.rglob("*"), *(tmp_path / "tmp").rglob("*")] == []


def test_bars_and_log_are_put_back(write: Write) -> None:
    before = (datasets.are_progress_bars_disabled(), logging.getLogger("datasets").level)
    with pytest.raises(DataError), warnings.catch_warnings():
        load_samples(write("a.parquet", "no"), "calibration")
    assert before == (datasets.are_progress_bars_disabled(), logging.getLogger("datasets").level)
    with toolkit.samples.table.quiet_datasets():
        assert datasets.are_progress_bars_disabled()


words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).filter(str.strip)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(words, st.integers(-9, 9)), min_size=1, max_size=8, unique_by=lambda row: row[0]))
def test_any_text_survives_csv_and_jsonl(write: Write, rows: list[tuple[str, int]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("text", "label"), *rows])
    lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    as_csv = load_samples(write("a.csv", out.getvalue()), "evaluation")
    as_json = load_samples(write("a.jsonl", lines), "evaluation")
    assert as_csv.texts == tuple(text for text, _ in rows)
    assert as_csv.labels == tuple(label for _, label in rows)
    assert as_csv.digest == as_json.digest


def test_a_long_file_keeps_every_row_in_order(write: Write) -> None:
    rng = random.Random(0)  # noqa: S311
    texts = [f"{n} " + "wörd " * rng.randint(0, 20) + "x" for n in range(12_000)]
    assert load_samples(write("a.txt", "\n".join(texts)), "evaluation").texts == tuple(texts)
    assert load_samples(write("a.tsv", "\n".join(["text", *texts])), "evaluation").texts == tuple(texts)
