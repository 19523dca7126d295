"""The schema says what the types say: each is held against the other."""

import json
from dataclasses import fields
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.report.pages import FAILED, REPORTS
from toolkit import gate

SCHEMA = json.loads(files("toolkit.report").joinpath("gate-report.schema.json").read_text(encoding="utf-8"))


def validate(value):
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(value)))


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert SCHEMA["properties"]["schema"]["const"] == gate.SCHEMA
    assert SCHEMA["$id"].endswith(f":{gate.SCHEMA}")


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_reports_and_what_bundles_keep_of_them_are_valid(report):
    validate(report.as_dict())
    validate(report.summary())


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (gate.Verdict, SCHEMA["$defs"]["verdict"]),
        (gate.Slice, SCHEMA["$defs"]["slice"]),
        (gate.Example, SCHEMA["$defs"]["example"]),
        (gate.Trend, SCHEMA["$defs"]["trend"]),
        (gate.Models, SCHEMA["properties"]["model"]),
        (gate.Sizes, SCHEMA["properties"]["sizes"]),
        (gate.RunPlace, SCHEMA["properties"]["place"]["oneOf"][1]),
        (gate.Histogram, SCHEMA["properties"]["histogram"]["oneOf"][1]),
        (gate.Interval, SCHEMA["$defs"]["verdict"]["properties"]["interval"]["oneOf"][1]),
    ],
)
def test_it_names_the_keys_of_each_type(kind, found):
    assert set(found["properties"]) == {field.name for field in fields(kind)} == set(found["required"])


def test_it_names_the_keys_of_the_report():
    names = {field.name for field in fields(gate.GateReport)} | {"schema", "passed"}
    assert set(SCHEMA["properties"]) == names
    assert set(SCHEMA["required"]) == set(FAILED.summary())
    outcomes = set(gate.Outcome.__args__)
    assert set(SCHEMA["$defs"]["outcome"]["enum"]) == outcomes


@pytest.mark.parametrize(
    "change", [{"schema": 2}, {"passed": "yes"}, {"extra": 1}, {"verdicts": []}, {"rows": -1}, {"model": {}}]
)
def test_what_is_no_report_is_not_valid(change):
    with pytest.raises(ValidationError):
        validate(FAILED.as_dict() | change)
