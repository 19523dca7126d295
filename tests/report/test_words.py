from dataclasses import replace

import pytest

from tests.report.pages import BROKEN, FAILED, PASSED, UNDECIDED
from toolkit.gate import Trend, Verdict
from toolkit.report import words


@pytest.mark.parametrize(
    ("report", "state", "headline"),
    [
        (PASSED, "pass", "All 5 limits hold."),
        (replace(PASSED, verdicts=PASSED.verdicts[:1]), "pass", "The limit holds."),
        (replace(PASSED, verdicts=PASSED.verdicts[-1:]), "pass", "No metric has a limit: nothing was judged."),
        (BROKEN, "fail", "1 of 1 limit broken: non_finite_rows."),
        (UNDECIDED, "undecided", "Too few rows to decide: cosine_p1."),
        (replace(PASSED, trend=(Trend("sqnr_db", 25.0, 23.9, "fail"),)), "fail", "Worse than the baseline: sqnr_db."),
        (
            replace(PASSED, verdicts=(Verdict("spearman", 0.8, 0.0, {}, "fail", "is no number"),)),
            "fail",
            "1 of 1 limit broken: spearman.",
        ),
    ],
)
def test_the_answer_in_one_word_and_one_sentence(report, state, headline):
    assert words.state(report) == state
    assert (state == "pass") == report.passed
    assert words.headline(report) == headline


@pytest.mark.parametrize(
    ("metric", "value", "shown"),
    [
        ("spearman", 0.82034, "82.03"),
        ("cosine_mean", 0.99795, "0.9980"),
        ("non_finite_rows", 3.0, "3"),
        ("spearman", None, ""),
    ],
)
def test_numbers_are_shown_as_the_field_shows_them(metric, value, shown):
    assert words.number(metric, value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.00391, "+0.39"), (-0.00391, f"{words.MINUS}0.39"), (-0.00001, "0.00"), (0.0, "0.00")]
)
def test_differences_have_a_sign_unless_they_are_shown_as_nothing(value, shown):
    assert words.signed("spearman", value) == shown


def test_a_sentence_says_all_that_is_known():
    assert words.sentence(FAILED.verdicts[2]) == (
        "cosine_p1 is 0.9841, 95 % interval of the value 0.9800 … 0.9880; the limit is ≥ 0.984 "
        "(not enough data: 400 more rows needed)"
    )
    assert words.sentence(FAILED.verdicts[3]) == "cosine_mean was not measured: no vectors"
    assert words.sentence(Verdict("x", None, None, {}, "not measured")) == "x: not measured"


@pytest.mark.parametrize(("size", "shown"), [(0, words.DASH), (999, "1.0 kB"), (23_577_349, "23.6 MB")])
def test_bytes(size, shown):
    assert words.megabytes(size) == shown
