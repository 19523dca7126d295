"""A gate report read back from its JSON: a file of ``--json``, or what a bundle's manifest holds of it."""

from collections.abc import Mapping
from dataclasses import MISSING, fields

from toolkit.errors import BundleError
from toolkit.gate.report import SCHEMA, GateReport
from toolkit.runtime.strict import read


def read_report(value: object, where: object) -> GateReport:
    """Return parsed JSON as a report; what a summary leaves out is empty.

    Raises BundleError that names ``where``, the key, what was got and what was expected.
    """
    if not isinstance(value, Mapping):
        raise BundleError("not a gate report", where=where, expected="a JSON object")
    schema = value.get("schema")
    if schema != SCHEMA:
        hint = "use the version of edgequant that wrote it, or run the gate again"
        got = "none" if schema is None else schema
        raise BundleError("the gate report is of another schema", where=where, got=got, expected=SCHEMA, hint=hint)
    given = {name: item for name, item in value.items() if name not in ("schema", "passed")}
    report = read(GateReport, _optional() | given, where)
    histogram = report.histogram
    if histogram is not None and len(histogram.edges) != len(histogram.counts) + 1:
        got, expected = f"{len(histogram.edges)} edges", f"{len(histogram.counts) + 1}, one more than counts"
        raise BundleError("wrong value for key 'histogram.edges'", where=where, got=got, expected=expected)
    return report


def _optional() -> dict[str, object]:
    """Return the JSON of every key that may be left out."""
    return {
        field.name: [] if field.default == () else field.default
        for field in fields(GateReport)
        if field.default is not MISSING
    }
