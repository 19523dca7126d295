"""From a model that the gate refuses, or from the fastest one, to the one that gives up least and passes.

Layers are chosen on texts held out of calibration. The gate's evaluation set only says when to stop: at most LOOKS
times, and each time surer than it has to be of a single model, so that all looks have the chance of error of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.fallback.bench import Bench
from toolkit.fallback.report import Fallback, Look, report
from toolkit.fallback.rungs import FLOAT
from toolkit.fallback.search import Room, until
from toolkit.gate import GateReport
from toolkit.limits import Bounds
from toolkit.numerics.sqnr import CEILING_DB
from toolkit.plan import QuantPlan

LOOKS = 4
FIRST_STEP, NEXT_STEP = 0.8, 0.5
"""Noise that may be left, by what the last look was given."""
WHY = "{}: of all steps, it takes the most noise off the output for its time."


@dataclass(frozen=True, eq=False)
class Tried:
    """A plan as it was judged."""

    plan: QuantPlan
    model: bytes
    report: GateReport


@dataclass(frozen=True)
class Court:
    """How plans are judged: by which limits, how sure the gate must be of a single look, and by whom."""

    limits: Mapping[str, Bounds]
    confidence: float
    judge: Callable[[QuantPlan, float], Tried]

    @property
    def surer(self) -> float:
        """How sure the gate must be at each look after the first: the chances of error sum to that of one."""
        return 1 - (1 - self.confidence) / LOOKS


@dataclass(frozen=True, eq=False)
class _Point:
    """Where a search was: levels, their noise, and what the gate said."""

    levels: list[int]
    noise: float
    tried: Tried


def rescue(bench: Bench, court: Court, first: Tried) -> tuple[Tried, Fallback]:
    """Return the model that gives up least of those that the gate passes, or the best that was reached, and why."""
    start = [0] * len(bench.table.units)
    refused = look(bench, first, start, court.confidence)
    why = f"the gate refused {bench.table.rungs[0].name} for {', '.join(refused.refused)}"
    return _go_on(bench, court, _Point(start, bench.noise(start), first), [refused], why)


def within_accuracy(bench: Bench, court: Court, why: str) -> tuple[Tried, Fallback]:
    """Return the fastest model within the limits: those that need no labels choose it, the gate has the last word."""
    levels = [0] * len(bench.table.units)
    if not bench.reached(levels, np.inf, court.limits):
        levels = until(bench.table, Room(bench.room(court.limits)), _reaches(bench, np.inf, court.limits))
    first = court.judge(bench.plan(levels, WHY), court.confidence)
    looks = [look(bench, first, levels, court.confidence)]
    if first.report.passed:
        return first, report(bench, levels, why, looks, "", first.model)
    return _go_on(bench, court, _Point(levels, bench.noise(levels), first), looks, why)


def _go_on(bench: Bench, court: Court, refused: _Point, looks: list[Look], why: str) -> tuple[Tried, Fallback]:
    """Give up more until the gate passes; looks that are left then go to what lies between the last two."""
    room, passed = Room(bench.room(court.limits)), None
    for number in range(LOOKS):
        levels = until(bench.table, room, _reaches(bench, _target(number, refused, passed), court.limits))
        if levels == refused.levels or (passed and _share(bench, levels) >= _share(bench, passed.levels)):
            break
        point = _Point(levels, bench.noise(levels), court.judge(bench.plan(levels, WHY), court.surer))
        looks.append(look(bench, point.tried, levels, court.surer))
        if point.tried.report.passed:
            passed = point
        else:
            refused = point
    best = passed or refused
    end = "" if passed else _end(bench, refused.levels, room)
    return best.tried, report(bench, best.levels, why, looks, end, best.tried.model)


def _target(number: int, refused: _Point, passed: _Point | None) -> float:
    if passed:
        return float(np.sqrt(refused.noise * passed.noise))
    return 0.0 if number == LOOKS - 1 else refused.noise * (NEXT_STEP if number else FIRST_STEP)


def _share(bench: Bench, levels: Sequence[int]) -> float:
    return float(sum(bench.table.shares[unit, level] for unit, level in enumerate(levels)))


def _reaches(bench: Bench, noise: float, limits: Mapping[str, Bounds]) -> Callable[[Sequence[int]], bool]:
    return lambda levels: bench.reached(levels, noise, limits)


def look(bench: Bench, tried: Tried, levels: Sequence[int], confidence: float) -> Look:
    """Return what is to be told of one look."""
    found = tried.report
    changed = sum(len(unit.places) for unit, level in zip(bench.table.units, levels, strict=True) if level)
    refused = tuple(verdict.metric for verdict in found.verdicts if verdict.outcome in ("fail", "undecided"))
    return Look(confidence, changed, decibels(bench.noise(levels)), found.passed, refused)


def _end(bench: Bench, levels: Sequence[int], room: Room) -> str:
    """Return why a search went no further."""
    last = len(bench.table.rungs) - 1
    left = sum(len(unit.places) for unit, level in zip(bench.table.units, levels, strict=True) if level != last)
    if not left:
        return "every linear layer is in float: the gate cannot pass by this way"
    if np.isfinite(room.bytes):
        return f"the limit of size_ratio leaves no room for more layers in {FLOAT} (layers that are not: {left})"
    return f"no step is left that takes noise off the output (layers that are not in {FLOAT}: {left})"


def decibels(noise: float) -> float:
    """Return the SQNR of noise by the energy of the signal."""
    if not np.isfinite(noise):
        return -CEILING_DB
    return CEILING_DB if noise <= 0 else round(float(np.clip(-10 * np.log10(noise), -CEILING_DB, CEILING_DB)), 2)
