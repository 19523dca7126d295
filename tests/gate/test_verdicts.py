"""Verdicts by interval: inside passes, outside fails, in between is undecided and says how many rows are missing."""

import itertools

import numpy as np
import pytest

from tests.gate.test_judge import CLASSIFIER, POINT, TEXTS
from toolkit import gate
from toolkit.errors import GateError
from toolkit.gate import Evidence, Measured, Rules
from toolkit.limits import Bounds, Limit
from toolkit.runtime.manifest import FileInfo
from toolkit.samples import Samples
from toolkit.statistics import Estimate, Interval

RULES = Rules()


def measured(low, high, *, fp32=0.8, of="change", rows=1000, least_rows=0):
    """Return a metric of int8 whose interval is the one given, its value in the middle."""
    middle = (low + high) / 2

    def estimator(level):
        return Estimate(middle, Interval(low, high, level), rows, least_rows)

    value = fp32 + middle if of == "change" else middle
    return Measured("metric", fp32 if of == "change" else None, value, **{of: estimator})


def verdict(found, limit, rules=RULES):
    (only,) = gate.verdicts([found], {"metric": limit}, rules)
    return only


@pytest.mark.parametrize(
    ("ends", "limit", "outcome"),
    [
        ((-0.01, 0.01), Limit(max_drop=0.02), "pass"),
        ((-0.02, 0.01), Limit(max_drop=0.02), "pass"),  # the end may touch the limit
        ((-0.03, 0.01), Limit(max_drop=0.02), "undecided"),
        ((-0.05, -0.01), Limit(max_drop=0.02), "undecided"),
        ((-0.05, -0.02), Limit(max_drop=0.02), "undecided"),
        ((-0.05, -0.03), Limit(max_drop=0.02), "fail"),
        ((-0.03, 0.01), Limit(min_ratio=0.95), "pass"),  # 5 % of 0.8 are 0.04
        ((-0.05, 0.01), Limit(min_ratio=0.95), "undecided"),
        ((-0.07, -0.05), Limit(min_ratio=0.95), "fail"),
        ((-0.03, 0.01), Limit(max_drop=0.02, min_ratio=0.95), "undecided"),
        ((-0.06, -0.03), Limit(max_drop=0.02, min_ratio=0.95), "fail"),  # one is broken, the other is open
    ],
    ids=str,
)
def test_bounds_of_the_change(ends, limit, outcome):
    assert verdict(measured(*ends), limit).outcome == outcome


@pytest.mark.parametrize(
    ("ends", "limit", "outcome"),
    [
        ((0.95, 0.97), Bounds(min=0.95), "pass"),
        ((0.94, 0.97), Bounds(min=0.95), "undecided"),
        ((0.93, 0.94), Bounds(min=0.95), "fail"),
        ((0.01, 0.03), Bounds(max=0.03), "pass"),
        ((0.01, 0.05), Bounds(max=0.03), "undecided"),
        ((0.04, 0.05), Bounds(max=0.03), "fail"),
        ((0.01, 0.03), Bounds(min=0.02, max=0.1), "undecided"),
    ],
    ids=str,
)
def test_bounds_of_the_value(ends, limit, outcome):
    assert verdict(measured(*ends, of="value"), limit).outcome == outcome


def test_undecided_says_how_many_rows_are_missing():
    # The value is 0.01 from the limit, the end of its interval 0.02: four times the rows.
    found = verdict(measured(-0.03, 0.01), Limit(max_drop=0.02))
    assert (found.rows_needed, found.note) == (3000, "not enough data: 3,000 more rows needed")
    both = verdict(measured(-0.03, 0.01), Limit(max_drop=0.02, min_ratio=0.97))  # the ratio asks for 2,000 less
    assert both.rows_needed == 3000


def test_no_number_of_rows_decides_what_lies_on_the_limit():
    found = verdict(measured(-0.03, 0.01), Limit(max_drop=0.01))
    assert (found.outcome, found.rows_needed) == ("undecided", None)
    assert found.note == "not enough data: so near to the limit, no number of rows decides"


def test_too_few_rows_pass_nothing():
    few = {"rows": 20, "least_rows": 50}
    assert verdict(measured(0, 0, **few), Limit(max_drop=0.02)).rows_needed == 30
    assert verdict(measured(-0.5, -0.4, **few), Limit(max_drop=0.02)).outcome == "fail"


def test_a_point_decides_where_it_is_asked_to_or_nothing_else_is_known():
    found = verdict(measured(-0.03, 0.02), Limit(max_drop=0.02), POINT)
    assert (found.outcome, found.note, found.rows_needed) == ("pass", "", None)
    assert found.interval == Interval(-0.03, 0.02, 0.9)  # shown all the same
    assert verdict(Measured("metric", 0.8, 0.79), Limit(max_drop=0.02)).outcome == "pass"


def test_the_level_holds_a_pass_and_a_fail_alike():
    assert verdict(measured(-0.01, 0), Limit(max_drop=0.1), Rules(confidence=0.975)).interval.level == 0.95


def test_undecided_is_no_pass_and_has_a_sentence_of_its_own():
    labels = tuple(np.resize((0, 1, 2), 90).tolist())
    samples = Samples("texts", "1", "none", "here", tuple(map(str, range(90))), labels=labels)
    outputs = np.eye(3, dtype=np.float32)[list(labels)]
    evidence = Evidence(samples, (outputs, outputs), (FileInfo("f", 4), FileInfo("i", 1)))
    report = gate.judge(CLASSIFIER, evidence, {"accuracy": Limit(max_drop=0.01)}, RULES)
    accuracy = next(found for found in report.verdicts if found.metric == "accuracy")
    assert (accuracy.fp32, accuracy.int8, accuracy.outcome) == (1, 1, "undecided")  # 90 rows say ±3 %
    assert not report.passed
    error = gate.refusal(report, "here", "", "no hint of mine")
    assert isinstance(error, GateError)
    said = str(error)
    assert said.startswith("the evaluation data do not decide whether the int8 model is accurate enough\n")
    assert "got: accuracy: not enough data: " in said
    assert "--decision point" in said


def test_a_failure_is_told_before_what_is_undecided():
    report = gate.judge(
        CLASSIFIER,
        Evidence(TEXTS, (np.eye(4, 3, dtype=np.float32),) * 2, (FileInfo("f", 4), FileInfo("i", 4))),
        {"label_flips": Bounds(max=0.01), "size_ratio": Bounds(max=0.5)},
        RULES,
    )
    assert [found.outcome for found in report.verdicts if found.limit] == ["pass", "undecided", "fail"]
    assert "size_ratio 1 (is above 0.5; 4 of 4 bytes)" in str(gate.refusal(report, "here", "", ""))


def test_the_chance_of_either_error_is_what_confidence_says():
    """Two classifiers a point apart, and a limit of one point: 5 % of the sets pass and 5 % fail, by the theory."""
    random = np.random.default_rng(0)
    cells = random.multinomial(1600, (0.01, 0.02, 0.97), size=400)
    outcomes = []
    for gained, lost, _ in cells.tolist():
        right = np.zeros((2, 1600), np.int64)
        right[0, gained : gained + lost] = right[1, :gained] = 1
        right[:, gained + lost : 1500] = 1
        labels = tuple(np.ones(1600, np.int64).tolist())
        outputs = tuple(np.stack([1 - one, one], axis=1).astype(np.float32) for one in right)
        samples = Samples("texts", "1", "none", "here", tuple(map(str, range(1600))), labels=labels)
        (accuracy,) = itertools.islice(_measure(samples, outputs), 1)
        outcomes.append(verdict(accuracy, Limit(max_drop=0.01)).outcome)
    for wrong in ("pass", "fail"):
        assert 0.025 <= outcomes.count(wrong) / len(outcomes) <= 0.08, outcomes.count(wrong)


def _measure(samples, outputs):
    for found in gate.TASKS["classification"].measure(CLASSIFIER, samples, outputs):
        yield Measured("metric", found.fp32, found.int8, change=found.change)
