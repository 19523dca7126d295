"""As accurate as possible within a time: time is spent where it takes away the most noise, as long as some is left."""

import numpy as np

from toolkit.errors import GateError, UsageError
from toolkit.fallback.bench import Bench
from toolkit.fallback.budget import LatencyBudget
from toolkit.fallback.costs import Doubles, Profiles
from toolkit.fallback.report import Fallback, report
from toolkit.fallback.rescue import WHY, Court, Tried, look
from toolkit.fallback.search import Room, steps

ATTEMPTS = 4
"""How often a model that turns out to be too slow is made again with less."""
MARGIN = 0.01
"""Part of the time that is kept back each time."""


def within_latency(bench: Bench, court: Court, budget: LatencyBudget) -> tuple[Tried, Fallback]:
    """Return the most accurate model within the time, judged, and how it came about.

    Raises GateError where the fastest model is too slow, UsageError where nothing can time the target's kernels.
    """
    times = bench.seconds([bench.fp32, bench.start])
    if times is None:
        hint = "build where these kernels are, or give a budget of accuracy"
        raise UsageError(f"--budget {budget.text} needs times", got=bench.table.costs.how, hint=hint)
    fp32, start = times
    if (start > _allowed(budget, fp32)).any():
        raise GateError(
            "the model cannot be as fast as the budget",
            where=bench.model.source.name,
            got=_told(bench.model.profiles, fp32, start),
            expected=budget.text,
            hint="this is with every layer in int8 that the recipe allows: give more time, or a faster target",
        )
    levels = _fit(bench, court, budget, (fp32, start))
    tried = court.judge(bench.plan(levels, WHY), court.confidence)
    looks = [look(bench, tried, levels, court.confidence)]
    end = "" if tried.report.passed else "within the time there is nothing more to give"
    return tried, report(bench, levels, f"--budget {budget.text}", looks, end, tried.model)


def _allowed(budget: LatencyBudget, fp32: Doubles) -> Doubles:
    """Return the seconds that a model may take at each shape, where fp32 takes as long as it does."""
    return fp32 / budget.speedup if budget.speedup is not None else np.full_like(fp32, (budget.ms or 0) / 1e3)


def _fit(bench: Bench, court: Court, budget: LatencyBudget, times: tuple[Doubles, Doubles]) -> list[int]:
    """Return the levels with the least noise whose model, timed beside fp32, is fast enough; at worst the first."""
    fp32, start = times
    spare = _allowed(budget, fp32) * (1 - MARGIN) - start
    first = [0] * len(bench.table.units)
    for _ in range(ATTEMPTS):
        *_, levels = first, *steps(bench.table, Room(bench.room(court.limits), tuple(spare)))
        timed = bench.seconds([bench.fp32, bench.model.build(bench.plan(levels, WHY))])
        if timed is None or not any(levels):
            break
        over = timed[1] - _allowed(budget, timed[0])
        if (over <= 0).all():
            return levels
        spare = spare - over.clip(0) - MARGIN * start
    return first


def _told(profiles: Profiles, fp32: Doubles, found: Doubles) -> str:
    each = [
        f"{1e3 * now:.2f} ms at {one.batch}x{one.length} ({was / now:.2f}x)"
        for one, was, now in zip(profiles, fp32, found, strict=True)
    ]
    return ", ".join(each)
