"""Strict TOML: every kind of mistake is named by file, dotted key and nearest name."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from toolkit.errors import RecipeError
from toolkit.strict import StrictModel, nearest, read_strict


class Rule(StrictModel):
    match: str
    bits: Literal[4, 8] = 8
    kind: Literal["static", "float"] = "static"


class Gate(StrictModel):
    drop: Annotated[float, Field(gt=0)] = 0.5

    @field_validator("drop")
    @classmethod
    def not_thirteen(cls, value: float) -> float:
        if value == 13:
            raise ValueError("thirteen is unlucky")
        return value


class Recipe(StrictModel):
    version: Literal[1] = Field(alias="schema")
    names: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    gates: dict[str, Gate] = Field(default_factory=dict)
    extra: Gate | None = None
    either: str | list[Rule] = ""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recipe.toml"


def read(file: Path, text: str) -> Recipe:
    file.write_text(text, encoding="utf-8")
    return read_strict(file, Recipe)


def refusal(file: Path, text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        read(file, text)
    return str(caught.value)


def test_reads_tables_arrays_and_tables_by_name(file: Path) -> None:
    recipe = read(
        file,
        'schema = 1\nnames = ["a"]\n[[rules]]\nmatch = "x"\n[gates.one]\ndrop = 1\n[extra]\n[[either]]\nmatch = "y"\n',
    )
    assert recipe.names == ("a",)
    assert recipe.rules == (Rule(match="x"),)
    assert recipe.gates == {"one": Gate(drop=1.0)}
    assert recipe.either == [Rule(match="y")]


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("schema = 1\nrule = 3", "rule", "rules"),
        ("schem = 1", "schem", "schema"),
        ('schema = 1\n[[rules]]\nmatch = "a"\n[[rules]]\nmatch = "b"\nmatsh = "x"', "rules.1.matsh", "match"),
        ("schema = 1\n[gates.one]\ndorp = 1.0", "gates.one.dorp", "drop"),
        ("schema = 1\n[extra]\ndrp = 1.0", "extra.drp", "drop"),
        ('schema = 1\n[[either]]\nmatch = "a"\nbitz = 8', "either.0.bitz", "bits"),
        ('schema = 1\n[[rules]]\nmatch = "a"\nkind = "statik"', "rules.0.kind", "static"),
    ],
)
def test_names_the_key_and_the_nearest(file: Path, text: str, key: str, hint: str) -> None:
    message = refusal(file, text)
    assert f"where: {file}: {key}\n" in message
    assert f"hint: did you mean '{hint}'?" in message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the key 'schema' is missing"),
        ("schema = 1\n[[rules]]\nbits = 8", "the key 'rules.0.match' is missing"),
        ("schema = 2", "got: 2\n  expected: 1"),
        ('schema = "1"', "got: '1'\n  expected: 1"),
        ('schema = 1\n[[rules]]\nmatch = "x"\nbits = 5', "rules.0.bits\n  got: 5\n  expected: 4 or 8"),
        ('schema = 1\nnames = "x"', "names\n  got: 'x'\n  expected: a valid array"),
        ("schema = 1\nnames = [1]", "names.0\n  got: 1\n  expected: a valid string"),
        ("schema = 1\nnames = [2020-01-02]", "names.0\n  got: datetime.date(2020, 1, 2)\n"),
        ('schema = 1\n[gates.a]\ndrop = "1"', "gates.a.drop\n  got: '1'\n  expected: a valid number"),
        ("schema = 1\n[gates.a]\ndrop = -1", "gates.a.drop\n  got: -1\n  expected: greater than 0"),
        ("schema = 1\n[gates.a]\ndrop = nan", "gates.a.drop\n  got: nan\n  expected: greater than 0"),
        ("schema = 1\n[gates.a]\ndrop = 13", "gates.a.drop\n  got: 13\n  expected: thirteen is unlucky"),
        ("schema = 1\neither = 3", "either\n  got: 3\n  expected: a valid string"),
        ("schema = ", "not valid TOML"),
        ("schema = 1\nschema = 1\n", "Cannot overwrite a value (at line 2"),
    ],
)
def test_says_what_is_wrong_and_where(file: Path, text: str, what: str) -> None:
    message = refusal(file, text)
    assert what in message
    assert str(file) in message


def test_missing_file(file: Path) -> None:
    with pytest.raises(RecipeError, match="No such file") as caught:
        read_strict(file, Recipe)
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_utf8(file: Path) -> None:
    file.write_bytes(b"schema = 1 # \xff")
    with pytest.raises(RecipeError, match="byte 0xff at offset 13"):
        read_strict(file, Recipe)


def test_nothing_similar_gives_no_hint() -> None:
    assert nearest("xyz", ["rules", "names"]) == ""


@given(st.text(st.characters(categories=["Ll", "Nd"], max_codepoint=127), min_size=1))
def test_no_unknown_key_passes(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    if key in ("schema", "names", "rules", "gates", "extra", "either"):
        return
    assert f"unknown key {key!r}" in refusal(file, f"schema = 1\n{key} = 1")
