"""A measured metric and its limit give a verdict."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from toolkit.gate.report import Outcome, Verdict
from toolkit.gate.task import Measured
from toolkit.targets import Bounds, Limit

DIGITS = 6


def verdicts(measured: Iterable[Measured], limits: Mapping[str, Bounds]) -> Iterator[Verdict]:
    """Yield one verdict a metric, in their order; what is no number fails, limit or not."""
    for found in measured:
        limit = limits.get(found.metric)
        outcome, note = _decide(found, limit)
        bounds = {} if limit is None else limit.model_dump(exclude_none=True)
        yield Verdict(found.metric, rounded(found.fp32), rounded(found.int8), bounds, outcome, note or found.note)


def rounded(value: float | None) -> float | None:
    """Return a value as reports show it."""
    return None if value is None else round(value, DIGITS)


def describe(limit: Mapping[str, float], times: float = 1) -> str:
    """Return a limit in a few signs; ``times`` 100 where the metric's values are shown x100."""
    signs = {
        "min": f"≥ {times * limit.get('min', 0):g}",
        "max": f"≤ {times * limit.get('max', 0):g}",
        "max_drop": f"drop ≤ {times * limit.get('max_drop', 0):g}",
        "min_ratio": f"≥ {limit.get('min_ratio', 0):g} of fp32",
    }
    return ", ".join(signs[name] for name in limit)


def _decide(found: Measured, limit: Bounds | None) -> tuple[Outcome, str]:
    if found.int8 is None:
        return "not measured", ""
    if not np.isfinite(found.int8):
        return "fail", "is no number"
    if limit is None:
        return "no limit", ""
    broken = _broken(limit, found.fp32, found.int8)
    return ("fail", broken) if broken else ("pass", "")


def _broken(limit: Bounds, fp32: float | None, int8: float) -> str:
    """Return which bounds do not hold, or nothing; a value that is no number holds none."""
    base = int8 if fp32 is None else fp32
    no_ratio = base <= 0  # a ratio to nothing says nothing; max_drop holds there too
    both = limit if isinstance(limit, Limit) else Limit.model_construct()
    checks: tuple[tuple[float | None, str, Callable[[float], bool]], ...] = (
        (limit.min, "is below {:g}", lambda bound: int8 >= bound),
        (limit.max, "is above {:g}", lambda bound: int8 <= bound),
        (both.max_drop, "drops by more than {:g}", lambda bound: base - int8 <= bound),
        (both.min_ratio, "is below {:g} of fp32", lambda bound: no_ratio or int8 >= bound * base),
    )
    return "; ".join(words.format(bound) for bound, words, holds in checks if bound is not None and not holds(bound))
