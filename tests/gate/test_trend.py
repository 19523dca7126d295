"""A report against an earlier one: what counts as worse."""

from dataclasses import replace

import pytest

from tests.gate.test_judge import LOGITS, logits
from toolkit.errors import UsageError
from toolkit.gate import Interval, Trend, Verdict, against

REPORT = logits(LOGITS)


def trend(now: Verdict, was: float):
    report = replace(REPORT, verdicts=(now,))
    (found,) = against(report, replace(REPORT, verdicts=(replace(now, int8=was),))).trend
    return found.outcome


def verdict(limit, interval=None, fp32=None):
    interval = interval and Interval(*interval, 0.9)
    return Verdict("metric", fp32, 0.9, limit, "pass", interval=interval)


@pytest.mark.parametrize(
    ("now", "was", "outcome"),
    [
        (verdict({"min": 0.5}), 0.9, "pass"),
        (verdict({"min": 0.5}), 0.8, "pass"),
        (verdict({"min": 0.7}), 0.96, "pass"),  # 0.06 of 0.26
        (verdict({"min": 0.7}), 0.98, "fail"),  # 0.08 of 0.28
        (verdict({"min": 0.7}, (0.8, 0.99)), 0.98, "pass"),  # that is noise
        (verdict({"min": 0.7}, (0.88, 0.92)), 0.98, "fail"),
        (verdict({"max": 1.1}), 0.87, "pass"),  # 0.03 of 0.23
        (verdict({"max": 1.1}), 0.8, "fail"),  # 0.1 of 0.3
        (verdict({"max": 1.1}, (0.79, 0.95)), 0.8, "pass"),
        (verdict({"max": 1.1}, (0.85, 0.95)), 0.8, "fail"),
        (verdict({"max_drop": 0.1}, (-0.06, -0.04), fp32=0.95), 0.96, "fail"),  # 0.06 of 0.11, noise 0.01
        (verdict({"max_drop": 0.1}, (-0.06, 0.02), fp32=0.95), 0.96, "pass"),  # noise 0.07
        (verdict({"max_drop": 0.1}, (-0.06, -0.04), fp32=0.95), 0.91, "pass"),  # noise 0.01
        (verdict({"min_ratio": 0.5}, (-0.06, -0.04), fp32=0.95), 1.0, "pass"),  # 0.1 of 0.525
        (verdict({"min_ratio": 0.5, "max_drop": 0.1}, (-0.06, -0.04), fp32=0.95), 1.0, "fail"),  # 0.1 of 0.15
        (verdict({}), 5.0, "no limit"),
    ],
)
def test_worse_is_beyond_the_noise_and_a_quarter_of_the_room(now, was, outcome):
    assert trend(now, was) == outcome


def test_a_metric_that_became_worse_fails_the_report():
    now = replace(REPORT, verdicts=(verdict({"min": 0.7}),))
    worse = against(now, replace(now, verdicts=(replace(now.verdicts[0], int8=1.0),)))
    assert now.passed
    assert not worse.passed
    assert worse.trend == (Trend("metric", 1.0, 0.9, "fail"),)


def test_metrics_that_only_one_has_have_no_trend():
    other = replace(REPORT, verdicts=tuple(replace(one, metric=f"old {one.metric}") for one in REPORT.verdicts))
    assert against(REPORT, other).trend == ()
    unmeasured = replace(REPORT, verdicts=(replace(verdict({"min": 1}), int8=None),))
    assert against(unmeasured, unmeasured).trend == ()


def test_reports_on_other_rows_or_of_other_tasks_are_not_compared():
    with pytest.raises(UsageError, match=r"on other rows\n(.*\n)*  hint: give a report of the same"):
        against(REPORT, replace(REPORT, dataset_digest="3"))
    with pytest.raises(UsageError, match=r"for another task\n  got: embedding\n  expected: classification"):
        against(REPORT, replace(REPORT, task="embedding"))
