"""The JSON Schema (draft 2020-12) of the gate's report, as text."""

from importlib.resources import files

SCHEMA = files("toolkit.report").joinpath("gate-report.schema.json").read_text(encoding="utf-8")
