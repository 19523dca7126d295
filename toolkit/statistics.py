"""Confidence intervals: what a measured value may be on other rows of the same kind.

All of it is seeded and adds in a fixed order, so that the same rows give the same numbers on every run. Rows count as
drawn independently. docs/gate.md tells which interval serves for which metric.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from toolkit.metrics import Ints
from toolkit.numerics.sqnr import CEILING_DB

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Statistic = Callable[[Doubles], Doubles]
"""From how often each row was drawn [resamples, rows] to the value of each resample [resamples]."""

RESAMPLES = 2000
LEAST_ROWS = 50
"""A bootstrap of fewer rows knows too little of what it has not seen."""

_SEED = 0
_BLOCK = 1 << 21  # weights held at one time: 16 MB
_MANY = 10_000_000


@dataclass(frozen=True)
class Interval:
    """Where a value lies with probability ``level``, both ends included."""

    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Estimate:
    """A value's interval, from how many rows, and with how few the interval would say nothing."""

    value: float
    interval: Interval
    rows: int
    least_rows: int = 0

    def rows_needed(self, threshold: float) -> int | None:
        """Return how many more rows would part the interval from the threshold, or None where no number will.

        An interval is as wide as one over the square root of the rows; the value counts as if it stayed.
        """
        if self.rows < self.least_rows:
            return self.least_rows - self.rows
        reach = abs(self.value - threshold)
        half = self.value - self.interval.low if threshold < self.value else self.interval.high - self.value
        if reach * math.sqrt(_MANY) < half:
            return None
        return max(1, math.ceil(self.rows * (half / reach) ** 2) - self.rows)


def bootstrap(statistic: Statistic, rows: int, level: float) -> Estimate:
    """Return the percentile interval of a statistic over resamples of the rows (Efron and Tibshirani 1993, ch. 13)."""
    values = np.concatenate([statistic(weights) for weights in _weights(rows)])
    low, high = np.percentile(values, [50 - 50 * level, 50 + 50 * level])
    (value,) = statistic(np.ones((1, rows)))
    return Estimate(float(value), Interval(float(low), float(high), level), rows, LEAST_ROWS)


def share(hits: float, rows: int, level: float) -> Estimate:
    """Return Wilson's score interval of a share (JASA 1927); a mean of numbers from 0 to 1 varies no more than one."""
    z, found = _z(level), hits / rows
    middle = (found + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(found * (1 - found) / rows + z * z / (4 * rows * rows))
    return Estimate(found, Interval(max(0.0, middle - half), min(1.0, middle + half), level), rows)


def paired_share(gained: int, lost: int, rows: int, level: float) -> Estimate:
    """Return Tango's score interval of (gained - lost) / rows, for two answers to each row (Stat. Med. 17, 1998).

    Unlike a bootstrap it has a width where no row was gained or lost.
    """
    found, z = (gained - lost) / rows, _z(level)

    def score(difference: float) -> float:
        linear = (2 * rows - gained + lost) * difference - gained - lost
        root = math.sqrt(max(0.0, linear**2 + 8 * rows * lost * difference * (1 - difference)))
        only_lost = (root - linear) / (4 * rows)  # its most likely share, were the difference the true one
        spread = math.sqrt(max(0.0, rows * (2 * only_lost + difference * (1 - difference))))
        distance = gained - lost - rows * difference
        return distance / spread if spread else math.copysign(math.inf, distance) if distance else 0.0

    low = _root(lambda difference: score(difference) > z, -1, found)
    high = _root(lambda difference: score(difference) > -z, found, 1)
    return Estimate(found, Interval(low, high, level), rows)


def quantile(values: Doubles, part: float, bounds: tuple[float, float], level: float) -> Estimate:
    """Return the interval of a quantile between two of the sorted values, whatever their distribution.

    How many of the values lie below the true quantile is binomial (Conover, Practical Nonparametric Statistics, 3.2).
    ``bounds`` are what a value can be: its ends where so few values bound nothing.
    """
    rows, outside = len(values), (1 - level) / 2
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, rows + 1)))])
    ways = factorials[-1] - factorials - factorials[::-1]
    ways += np.arange(rows + 1) * math.log(part) + np.arange(rows, -1, -1) * math.log1p(-part)
    below = np.cumsum(np.exp(ways))
    first = int((below <= outside).sum())  # values that are below it for certain
    last = int((below < 1 - outside).sum()) + 1
    ordered = np.concatenate([bounds[:1], np.sort(values), bounds[1:]])
    interval = Interval(float(ordered[first]), float(ordered[last]), level)
    least_rows = math.ceil(math.log(outside) / math.log(max(part, 1 - part)))
    return Estimate(float(np.quantile(values, part)), interval, rows, least_rows)


def mean(values: Doubles) -> Statistic:
    """Return the mean's statistic."""
    return lambda weights: np.einsum("bn,n->b", weights, values) / len(values)


def ranks(values: Doubles) -> Statistic:
    """Return what gives each resample's average ranks [resamples, rows], without sorting any of them."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.cumsum(counts) - counts

    def of(weights: Doubles) -> Doubles:
        drawn = np.add.reduceat(weights[:, order], starts, axis=1)
        return np.asarray((np.cumsum(drawn, axis=1) - (drawn - 1) / 2)[:, inverse])

    return of


def spearman(values: Doubles, gold: Doubles) -> Statistic:
    """Return the statistic of Spearman's correlation; 0 for a resample in which either is constant."""
    of_values, of_gold, middle = ranks(values), ranks(gold), (len(values) + 1) / 2

    def of(weights: Doubles) -> Doubles:
        x, y = of_values(weights) - middle, of_gold(weights) - middle
        products = [np.einsum("bn,bn->b", weights * a, b) for a, b in ((x, y), (x, x), (y, y))]
        norm = np.sqrt(products[1] * products[2])
        return np.asarray(np.divide(products[0], norm, out=np.zeros_like(norm), where=norm > 0))

    return of


def pearson(a: Doubles, b: Doubles) -> Statistic:
    """Return the statistic of Pearson's correlation; 0 for a resample in which either is constant."""
    x, y, rows = a - a.mean(), b - b.mean(), len(a)

    def of(weights: Doubles) -> Doubles:
        sums = [np.einsum("bn,n->b", weights, values) / rows for values in (x, y, x * y, x * x, y * y)]
        of_x, of_y, both, xx, yy = sums
        norm = np.sqrt(np.maximum(xx - of_x**2, 0) * np.maximum(yy - of_y**2, 0))
        return np.asarray(np.divide(both - of_x * of_y, norm, out=np.zeros_like(norm), where=norm > 0))

    return of


def ratio(above: Doubles, below: Doubles) -> Statistic:
    """Return the statistic of a ratio of two sums; 1 where both are nothing."""
    tops, bottoms = mean(above), mean(below)

    def of(weights: Doubles) -> Doubles:
        total = bottoms(weights)
        return np.asarray(np.divide(tops(weights), total, out=np.ones_like(total), where=total > 0))

    return of


def macro_f1(predicted: Ints, gold: Ints) -> Statistic:
    """Return the statistic of the mean F1 over the classes that occur in a resample, as ``metrics.macro_f1``."""
    labels = np.union1d(predicted, gold)
    of_label = [(predicted == label, gold == label) for label in labels]
    hits = np.array([a & b for a, b in of_label], np.float64).T
    both = np.array([1.0 * a + b for a, b in of_label]).T

    def of(weights: Doubles) -> Doubles:
        found, seen = weights @ hits, weights @ both  # whole numbers: exact in whatever order they are added
        f1 = np.divide(2 * found, seen, out=np.zeros_like(seen), where=seen > 0)
        return np.asarray(f1.sum(axis=1) / (seen > 0).sum(axis=1))

    return of


def sqnr(signal: Doubles, noise: Doubles) -> Statistic:
    """Return the statistic of the SQNR from each row's energies, in dB within ±CEILING_DB."""
    least = np.finfo(np.float64).tiny
    above, below = mean(signal), mean(noise)

    def of(weights: Doubles) -> Doubles:
        db = 10 * (np.log10(np.maximum(above(weights), least)) - np.log10(np.maximum(below(weights), least)))
        return np.asarray(np.clip(db, -CEILING_DB, CEILING_DB))

    return of


def difference(a: Statistic, b: Statistic) -> Statistic:
    """Return the statistic a - b, both on the same resamples."""
    return lambda weights: a(weights) - b(weights)


def _weights(rows: int) -> Iterator[Doubles]:
    random = np.random.default_rng(_SEED)
    step = max(1, _BLOCK // rows)
    for start in range(0, RESAMPLES, step):
        count = min(step, RESAMPLES - start)
        drawn = random.integers(0, rows, (count, rows)) + rows * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)


def _root(too_low: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if too_low(middle) else (low, middle)
    return (low + high) / 2


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
