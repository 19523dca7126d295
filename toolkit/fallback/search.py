"""Greedy search: the step that takes away the most noise for the time that it costs, again and again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.fallback.sensitivity import Table

FREE = 1e-4
"""Part of the time of all layers in float under which a cost counts as none."""
WORTHWHILE = 0.01
"""Part of the noise that is left which a step must take away, as long as one does."""


@dataclass(frozen=True)
class Room:
    """What a search may add to the rung that all units start on: bytes, and seconds at each shape (None: any)."""

    bytes: float
    seconds: tuple[float, ...] | None = None


def steps(table: Table, room: Room) -> Iterator[list[int]]:
    """Yield the levels after each step from the first rung, until nothing that takes noise away fits."""
    levels = [0] * len(table.units)
    while (best := _best(table, levels, room)) is not None:
        unit, rung = best
        levels[unit] = rung
        yield list(levels)


def until(table: Table, room: Room, reached: Callable[[Sequence[int]], bool]) -> list[int]:
    """Return the first levels that ``reached`` holds for, with needless steps taken back; else the last ones."""
    levels = [0] * len(table.units)
    for levels in steps(table, room):
        if reached(levels):
            return _without_needless(table, levels, reached)
    return levels


def _without_needless(table: Table, levels: list[int], reached: Callable[[Sequence[int]], bool]) -> list[int]:
    """Put units back on the first rung, the dearest first, as long as ``reached`` holds."""
    costs = {unit: _cost(table, unit, 0, level) for unit, level in enumerate(levels) if level}
    for unit in sorted(costs, key=lambda unit: -costs[unit]):
        without = [0 if number == unit else level for number, level in enumerate(levels)]
        if costs[unit] > FREE and reached(without):
            levels = without
    return levels


def _best(table: Table, levels: Sequence[int], room: Room) -> tuple[int, int] | None:
    left = sum(table.noise[unit, level] for unit, level in enumerate(levels))
    found: list[tuple[bool, float, int, int]] = []
    for unit, level in enumerate(levels):
        for rung in range(table.noise.shape[1]):
            gain = table.noise[unit, level] - table.noise[unit, rung]
            if gain > 0 and _fits(table, [*levels[:unit], rung, *levels[unit + 1 :]], room):
                score = gain / max(_cost(table, unit, level, rung), FREE)
                found.append((bool(gain >= WORTHWHILE * left), float(score), -unit, -rung))
    if not found:
        return None
    _, _, unit, rung = max(found)
    return -unit, -rung


def _cost(table: Table, unit: int, level: int, rung: int) -> float:
    return float(table.shares[unit, rung] - table.shares[unit, level])


def _fits(table: Table, levels: Sequence[int], room: Room) -> bool:
    units = np.arange(len(levels))
    if table.bytes[units, levels].sum() - table.bytes[:, 0].sum() > room.bytes:
        return False
    seconds = (table.costs.values[units, levels] - table.costs.values[:, 0]).sum(0)
    return room.seconds is None or bool((seconds <= np.array(room.seconds)).all())
