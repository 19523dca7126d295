import json

import pytest

from tests.report.pages import FAILED, REPORTS
from toolkit.errors import BundleError
from toolkit.gate.reading import read_report


def stored(report):
    return json.loads(json.dumps(report.as_dict(), allow_nan=False))


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_a_report_comes_back_as_it_was(report):
    value = stored(report)
    assert read_report(value, "r.json") == report
    assert read_report(value, "r.json").as_dict() == report.as_dict()


def test_what_a_bundle_keeps_is_a_report_without_texts():
    kept = read_report(json.loads(json.dumps(FAILED.summary())), "manifest.json")
    assert (kept.worst, kept.slices, kept.histogram, kept.trend) == ((), (), None, ())
    assert kept.verdicts == FAILED.verdicts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "of another schema"),
        ({"schema": None}, "of another schema"),
        ({"verdict": []}, "unknown key 'verdict'"),
        ({"rows": "7"}, "'rows'"),
        ({"verdicts": [{}]}, "missing key 'verdicts\\[0\\].metric'"),
        ({"histogram": {"edges": [0.0], "counts": [1]}}, "histogram.edges"),
    ],
)
def test_what_is_no_report_is_refused_by_its_key(change, said):
    with pytest.raises(BundleError, match=said) as caught:
        read_report(stored(FAILED) | change, "r.json")
    assert "r.json" in str(caught.value)


@pytest.mark.parametrize("value", [[], "x", None, 3])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(BundleError, match="not a gate report"):
        read_report(value, "r.json")
