"""A measured metric and its limit give a verdict."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.gate.report import Outcome, Verdict
from toolkit.gate.task import Measured
from toolkit.limits import Bounds, Limit
from toolkit.statistics import Estimate, Interval
from toolkit.targets import Decision

DIGITS = 6


@dataclass(frozen=True)
class Rules:
    """How verdicts are reached: by the confidence interval, or by the measured values alone."""

    decision: Decision = "interval"
    confidence: float = 0.95  # of a pass, and of a fail

    @property
    def level(self) -> float:
        """Of the interval whose one end decides a pass and whose other a fail: two one-sided tests."""
        return round(2 * self.confidence - 1, DIGITS)


@dataclass(frozen=True)
class _Check:
    """One bound of a limit: whether the value keeps to it, and what must be at least (or at most) what."""

    words: str
    holds: bool
    estimate: Estimate | None
    threshold: float
    at_least: bool = True


@dataclass(frozen=True)
class _Ruling:
    outcome: Outcome
    note: str = ""
    rows_needed: int | None = None


def verdicts(measured: Iterable[Measured], limits: Mapping[str, Bounds], rules: Rules) -> Iterator[Verdict]:
    """Yield one verdict a metric, in their order; what is no number fails, limit or not."""
    for found in measured:
        limit = limits.get(found.metric)
        estimates = _estimates(found, limit, rules)
        ruling = _rule(found, limit, estimates, rules)
        yield Verdict(
            metric=found.metric,
            fp32=rounded(found.fp32),
            int8=rounded(found.int8),
            limit={} if limit is None else limit.model_dump(exclude_none=True),
            outcome=ruling.outcome,
            note="; ".join(note for note in (ruling.note, found.note) if note),
            interval=_shown(estimates),
            rows_needed=ruling.rows_needed,
        )


def rounded(value: float | None) -> float | None:
    """Return a value as reports show it."""
    return None if value is None else round(value, DIGITS) + 0.0  # no -0.0


def describe(limit: Mapping[str, float], times: float = 1) -> str:
    """Return a limit in a few signs; ``times`` 100 where the metric's values are shown x100."""
    signs = {
        "min": f"≥ {times * limit.get('min', 0):g}",
        "max": f"≤ {times * limit.get('max', 0):g}",
        "max_drop": f"drop ≤ {times * limit.get('max_drop', 0):g}",
        "min_ratio": f"≥ {limit.get('min_ratio', 0):g} of fp32",
    }
    return ", ".join(signs[name] for name in limit)


def _estimates(found: Measured, limit: Bounds | None, rules: Rules) -> tuple[Estimate | None, Estimate | None]:
    """Return what can be said of int8 - fp32 and of int8 itself, as far as anybody asks."""
    if found.int8 is None or not np.isfinite(found.int8):
        return None, None
    bounded = limit is not None and (limit.min is not None or limit.max is not None)
    change = found.change(rules.level) if found.change else None
    value = found.value(rules.level) if found.value and (bounded or change is None) else None
    return change, value


def _shown(estimates: tuple[Estimate | None, Estimate | None]) -> Interval | None:
    estimate = estimates[0] or estimates[1]
    if estimate is None:
        return None
    low, high = (round(end, DIGITS) + 0.0 for end in (estimate.interval.low, estimate.interval.high))
    return Interval(low, high, estimate.interval.level)


def _rule(
    found: Measured, limit: Bounds | None, estimates: tuple[Estimate | None, Estimate | None], rules: Rules
) -> _Ruling:
    if found.int8 is None:
        return _Ruling("not measured")
    if not np.isfinite(found.int8):
        return _Ruling("fail", "is no number")
    if limit is None:
        return _Ruling("no limit")
    checks = _checks(limit, found.fp32, found.int8, estimates)
    rulings = [_rule_bound(check, rules, found.unit) for check in checks]
    broken = "; ".join(ruling.note for ruling in rulings if ruling.outcome == "fail")
    if broken:
        return _Ruling("fail", broken)
    open_ones = [ruling for ruling in rulings if ruling.outcome == "undecided"]
    return max(open_ones, key=lambda ruling: ruling.rows_needed or np.inf, default=_Ruling("pass"))


def _rule_bound(check: _Check, rules: Rules, unit: str) -> _Ruling:
    estimate = check.estimate
    if rules.decision == "point" or estimate is None:
        return _Ruling("pass") if check.holds else _Ruling("fail", check.words)
    sign = 1 if check.at_least else -1
    ends = sorted((sign * estimate.interval.low, sign * estimate.interval.high))
    if ends[0] >= sign * check.threshold and estimate.rows >= estimate.least_rows:
        return _Ruling("pass")
    if ends[1] < sign * check.threshold:
        return _Ruling("fail", check.words)
    more = estimate.rows_needed(check.threshold)
    wanted = f"{more:,} more {unit} needed" if more else "so near to the limit, no number of rows decides"
    return _Ruling("undecided", f"not enough data: {wanted}", more)


def _checks(
    limit: Bounds, fp32: float | None, int8: float, estimates: tuple[Estimate | None, Estimate | None]
) -> Iterator[_Check]:
    """Yield the bounds that are set; a value that is no number holds none.

    The distance to fp32 and the ratio to it are both bounds of int8 - fp32, fp32's value being what it is on the rows.
    """
    change, value = estimates
    base = int8 if fp32 is None else fp32
    if limit.min is not None:
        yield _Check(f"is below {limit.min:g}", int8 >= limit.min, value, limit.min)
    if limit.max is not None:
        yield _Check(f"is above {limit.max:g}", int8 <= limit.max, value, limit.max, at_least=False)
    if isinstance(limit, Limit) and limit.max_drop is not None:
        words = f"drops by more than {limit.max_drop:g}"
        yield _Check(words, base - int8 <= limit.max_drop, change, -limit.max_drop)
    # A ratio to nothing, or to less, says nothing; max_drop holds there too.
    if isinstance(limit, Limit) and limit.min_ratio is not None and not base <= 0:
        words = f"is below {limit.min_ratio:g} of fp32"
        yield _Check(words, int8 >= limit.min_ratio * base, change, (limit.min_ratio - 1) * base)
