"""Sensitivity: the error at the model's output that each layer's rung makes by itself, and what it costs.

A unit is put in one rung while all others are float, on texts that nothing was calibrated on; the noise that embedding
tables in int8 make in any case is taken off. Noise of rounding is all but independent from layer to layer, so that
what the units make by themselves adds up; what they make together is measured when it counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.fallback.costs import Costs, Doubles
from toolkit.fallback.pieces import Piece, size_of
from toolkit.fallback.rungs import Rung, Unit
from toolkit.fallback.switch import Switched
from toolkit.lower.linear import Float
from toolkit.progress import Track, silent

WORTH_A_LOOK = 0.01
"""Rungs between int8 and float are tried for units that make this part of all noise."""


@dataclass(frozen=True)
class Table:
    """What is known of each unit in each rung."""

    units: tuple[Unit, ...]
    rungs: tuple[Rung, ...]
    noise: Doubles  # [units, rungs]: energy at the output, by that of fp32's output; the last rung, float, makes none
    costs: Costs
    shares: Doubles  # [units, rungs]: Costs.shares
    bytes: Doubles  # [units, rungs]


def noise_of(reference: Float, found: Float) -> float:
    """Return the energy of the error by that of the reference; infinity where something is not finite."""
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(np.subtract(reference, found, dtype=np.float64)).sum())
    return noise / signal if np.isfinite(noise) and signal else float("inf")


def sensitivity(
    switched: Switched,
    reference: Float,
    rungs: Sequence[Rung],
    units: Sequence[Unit],
    track: Track = silent,
) -> Doubles:
    """Return the noise that each unit makes by itself in each rung [units, rungs]."""
    last = len(rungs) - 1
    base = noise_of(reference, switched.outputs([last] * len(units)))

    def alone(unit: int, rung: int) -> float:
        levels = [rung if number == unit else last for number in range(len(units))]
        return max(0.0, noise_of(reference, switched.outputs(levels)) - base)

    noise = np.zeros((len(units), len(rungs)))
    for unit in track(range(len(units)), "measure sensitivity", len(units)):
        noise[unit, 0] = alone(unit, 0)
    floor = WORTH_A_LOOK * float(noise[:, 0].sum())
    for rung in range(1, last):
        noise[:, rung] = [alone(unit, rung) if noise[unit, 0] > floor else noise[unit, 0] for unit in range(len(units))]
    return noise


def table(
    rungs: Sequence[Rung],
    units: Sequence[Unit],
    pieces: Sequence[Sequence[Sequence[Piece]]],
    noise: Doubles,
    spent: Costs,
) -> Table:
    """Return all that is known of the units."""
    sizes = np.array([[size_of(column) for column in zip(*cut, strict=True)] for cut in pieces], np.float64)
    return Table(tuple(units), tuple(rungs), noise, spent, spent.shares, sizes)
