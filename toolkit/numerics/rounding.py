"""Rounding s8 weights so that the errors of a column make up for each other on the inputs that were seen (GPTQ)."""

import numpy as np

from toolkit.numerics.blocks import Doubles, spread
from toolkit.numerics.weights import PAIR_LIMIT, PEAK, Float, Int8, WeightRange, Weights

_STEP = 128  # rows whose errors are passed on to all later ones at once


def compensate(weight: Float, plain: Weights, curvature: Doubles, weight_range: WeightRange) -> Weights:
    """Round a weight [K, N] anew with the scales of ``plain``; ``curvature`` [K, K] is the inputs' mean of x.T @ x.

    A row of zeros stays zeros, and the pair bound holds as it does for plain rounding: a pair's second weight takes
    what its first has left. Errors are made up for in later rows (Frantar et al., ICLR 2023).
    """
    moves = spread(curvature, damping=1e-4)
    left, scale = weight.astype(np.float64), plain.scale.astype(np.float64)
    values = np.zeros(weight.shape, np.int8)
    rows = len(weight)
    for start in range(0, rows, _STEP):
        stop = min(start + _STEP, rows)
        errors = np.zeros((stop - start, weight.shape[1]))
        for row in range(start, stop):
            if not weight[row].any():
                continue  # an outlier channel, whose errors no one has to bear
            wanted = np.rint(left[row] / scale)
            values[row] = _within(wanted, values[row - 1] if row % 2 else None, weight_range)
            errors[row - start] = (left[row] - values[row] * scale) / moves[row, row]
            left[row + 1 : stop] -= np.outer(moves[row, row + 1 : stop], errors[row - start])
        left[stop:] -= moves[start:stop, stop:].T @ errors
    return Weights(values, plain.scale)


def _within(wanted: Doubles, before: Int8 | None, weight_range: WeightRange) -> Doubles:
    """Return whole numbers brought into the range, and into what the other weight of a pair leaves of it."""
    low, high = np.full(wanted.shape, -PEAK[weight_range]), np.full(wanted.shape, PEAK[weight_range])
    if weight_range == "pair" and before is not None:
        first = before.astype(np.int64)
        high = np.minimum(high, PAIR_LIMIT - np.maximum(first, 0))
        low = np.maximum(low, -PAIR_LIMIT + np.maximum(-first, 0))
    return np.clip(wanted, low, high)
