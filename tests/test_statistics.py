"""Intervals against other ways to the same numbers, their coverage, and what they say of few rows."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import metrics, statistics
from toolkit.numerics.sqnr import sqnr_db


def drawn(rows, count=50, seed=0):
    """Return rows drawn with replacement [count, rows], and how often each was."""
    index = np.random.default_rng(seed).integers(0, rows, (count, rows))
    return index, np.array([np.bincount(one, minlength=rows) for one in index], np.float64)


def test_statistics_of_weights_are_those_of_the_rows_drawn():
    random = np.random.default_rng(1)
    x, y = random.normal(size=80).round(1), random.integers(0, 6, 80) / 2  # with ties
    a, b = random.integers(0, 4, 80), random.integers(0, 4, 80)
    fp32 = random.normal(size=(80, 5)).astype(np.float32)
    int8 = fp32 + random.normal(size=fp32.shape).astype(np.float32) / 10
    energies = (fp32.astype(float) ** 2).sum(axis=1), ((fp32.astype(float) - int8) ** 2).sum(axis=1)
    index, weights = drawn(80)
    for statistic, expected in (
        (statistics.mean(x), lambda rows: x[rows].mean()),
        (statistics.spearman(x, y), lambda rows: metrics.spearman(x[rows], y[rows])),
        (statistics.macro_f1(a, b), lambda rows: metrics.macro_f1(a[rows], b[rows])),
        (statistics.sqnr(*energies), lambda rows: sqnr_db(fp32[rows], int8[rows])),
        (statistics.difference(statistics.mean(x), statistics.mean(y)), lambda rows: (x[rows] - y[rows]).mean()),
    ):
        np.testing.assert_allclose(statistic(weights), [expected(rows) for rows in index], rtol=0, atol=1e-12)


def test_a_class_that_was_not_drawn_does_not_count():
    weights = np.array([[2.0, 1, 0]])
    assert statistics.macro_f1(np.array([0, 1, 2]), np.array([0, 0, 2]))(weights)[0] == pytest.approx((4 / 5 + 0) / 2)


def test_a_resample_without_an_order_has_no_correlation():
    statistic = statistics.spearman(np.array([1.0, 2, 3]), np.array([1.0, 2, 2]))
    assert statistic(np.array([[0.0, 1, 2], [3, 0, 0]])).tolist() == [0, 0]


def test_a_bootstrap_is_the_same_on_every_run_and_near_the_theory():
    values = np.random.default_rng(2).normal(5, 2, 400)
    first, again = (statistics.bootstrap(statistics.mean(values), 400, 0.95) for _ in range(2))
    assert first == again
    error = values.std() / 20
    assert first.value == pytest.approx(values.mean())
    assert first.interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert first.interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_blocks_do_not_change_a_bootstrap(monkeypatch):
    values = np.random.default_rng(3).normal(size=100)
    whole = statistics.bootstrap(statistics.mean(values), 100, 0.9)
    monkeypatch.setattr(statistics, "_BLOCK", 7 * 100)
    assert statistics.bootstrap(statistics.mean(values), 100, 0.9) == whole


# Newcombe, Interval estimation for the difference between independent proportions, Stat. Med. 17 (1998), method 3.
@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares_as_published(hits, rows, low, high):
    found = statistics.share(hits, rows, 0.95).interval
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def worst_score(gained, lost, rows, difference):
    """Return the score statistic of a difference, the likelihood's maximum found by trying all shares."""
    least = max(0.0, -difference)
    shares = np.linspace(least, (1 - difference) / 2, 400_001)[1:-1]
    likelihood = (
        gained * np.log(shares + difference)
        + lost * np.log(shares)
        + (rows - gained - lost) * np.log1p(-2 * shares - difference)
    )
    share = shares[likelihood.argmax()]
    return (gained - lost - rows * difference) / math.sqrt(rows * (2 * share + difference - difference**2))


@pytest.mark.parametrize(("gained", "lost", "rows"), [(1, 3, 44), (9, 2, 200), (20, 36, 1379), (5, 5, 60)])
def test_a_paired_share_ends_where_the_score_does(gained, lost, rows):
    found = statistics.paired_share(gained, lost, rows, 0.95)
    assert found.value == (gained - lost) / rows
    assert worst_score(gained, lost, rows, found.interval.low) == pytest.approx(1.96, abs=2e-3)
    assert worst_score(gained, lost, rows, found.interval.high) == pytest.approx(-1.96, abs=2e-3)


@pytest.mark.parametrize("rows", [1, 20, 1000])
def test_answers_that_never_part_leave_a_width(rows):
    """Tango 1998, section 5: for b = c = 0 the interval is ±z²/(n + z²)."""
    found = statistics.paired_share(0, 0, rows, 0.95).interval
    z2 = 1.959964**2
    assert found.high == pytest.approx(z2 / (rows + z2), abs=1e-6)
    assert found.low == -found.high or found.low == pytest.approx(-found.high, abs=1e-9)


@given(st.integers(1, 300), st.data())
def test_paired_shares_hold_their_value_and_mirror(rows, data):
    gained = data.draw(st.integers(0, rows))
    lost = data.draw(st.integers(0, rows - gained))
    found, mirrored = (statistics.paired_share(*pair, rows, 0.95) for pair in ((gained, lost), (lost, gained)))
    assert -1 <= found.interval.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.interval.high <= 1
    assert found.interval.low == pytest.approx(-mirrored.interval.high, abs=1e-9)


def binomial(count, rows, part):
    whole = Fraction(part).limit_denominator(100)
    return float(math.comb(rows, count) * whole**count * (1 - whole) ** (rows - count))


@pytest.mark.parametrize(("rows", "part"), [(1, 0.01), (60, 0.01), (367, 0.01), (368, 0.01), (700, 0.01), (40, 0.5)])
def test_a_quantile_lies_between_two_of_the_values(rows, part):
    values = np.random.default_rng(4).permutation(np.arange(1.0, rows + 1))  # a value is its place in the order
    found = statistics.quantile(values, part, (0, rows + 1), 0.95)
    low, high = int(found.interval.low), int(found.interval.high)
    chances = [binomial(count, rows, part) for count in range(rows + 1)]
    assert sum(chances[:low]) <= 0.025 < sum(chances[: low + 1])
    assert sum(chances[high:]) <= 0.025 + 1e-9 < sum(chances[high - 1 :])
    assert (low == 0) is (rows < found.least_rows)
    assert found.least_rows == (368 if part == 0.01 else 6)


def test_a_quantile_of_very_many_values():
    values = np.random.default_rng(5).uniform(size=100_000)
    found = statistics.quantile(values, 0.01, (0, 1), 0.95)
    assert found.interval.low < 0.01 < found.interval.high
    assert found.interval.high - found.interval.low == pytest.approx(2 * 1.96 * math.sqrt(0.01 * 0.99 / 1e5), rel=0.1)


def test_intervals_cover_as_often_as_they_say(monkeypatch):
    """Of 95 % intervals on data of a known value, 90 to 99 in 100 hold it."""
    monkeypatch.setattr(statistics, "RESAMPLES", 500)
    random = np.random.default_rng(6)
    covered = np.zeros(3)
    for _ in range(100):
        cells = random.multinomial(300, (0.03, 0.05, 0.92))
        x = random.normal(size=120)
        noisy = np.stack([x + random.normal(size=120), x + 1.2 * random.normal(size=120)])
        change = statistics.difference(statistics.spearman(noisy[1], x), statistics.spearman(noisy[0], x))
        covered += [
            within(statistics.paired_share(int(cells[0]), int(cells[1]), 300, 0.95), -0.02),
            within(statistics.quantile(random.uniform(size=500), 0.01, (0, 1), 0.95), 0.01),
            within(statistics.bootstrap(change, 120, 0.95), TRUE_CHANGE),
        ]
    assert (covered / 100 >= 0.9).all(), covered
    assert (covered / 100 <= [0.99, 1, 0.99]).all(), covered  # a quantile's ends are values: it covers more


# Spearman's correlation of two normals whose Pearson correlation is r: 6/π·asin(r/2).
TRUE_CHANGE = 6 / math.pi * (math.asin(1 / math.sqrt(2.44) / 2) - math.asin(1 / math.sqrt(2) / 2))


def within(estimate, value):
    return estimate.interval.low <= value <= estimate.interval.high


def test_rows_needed_follow_the_square_root():
    estimate = statistics.Estimate(-0.01, statistics.Interval(-0.03, 0.01, 0.95), 100)
    assert estimate.rows_needed(-0.02) == 300  # half as wide
    assert estimate.rows_needed(-0.029) == math.ceil(100 * (0.02 / 0.019) ** 2) - 100
    assert estimate.rows_needed(0.01 - 1e-9) >= 1
    assert estimate.rows_needed(-0.01) is None
    assert estimate.rows_needed(-0.01 - 1e-9) is None
    assert statistics.Estimate(0, estimate.interval, 10, 50).rows_needed(-1) == 40
