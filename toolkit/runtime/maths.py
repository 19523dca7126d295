"""The arithmetic around the model, in double precision and plain Python: the same bits with and without numpy."""

from collections.abc import Sequence
from math import exp, fsum, isfinite, sqrt
from operator import mul


def softmax(row: Sequence[float]) -> list[float]:
    """Return the softmax of finite logits, without overflow."""
    top = max(row)
    powers = [exp(value - top) for value in row]
    total = fsum(powers)
    return [power / total for power in powers]


def sigmoid(value: float) -> float:
    """Return ``1 / (1 + exp(-value))``, without overflow."""
    if value >= 0:
        return 1 / (1 + exp(-value))
    power = exp(value)  # of a negative number: no overflow
    return power / (1 + power)


def falling(row: Sequence[float]) -> list[int]:
    """Return the places of a row by falling value, equal ones in their order."""
    return sorted(range(len(row)), key=lambda place: -row[place])


def weighted_mean(rows: Sequence[Sequence[float]], weights: Sequence[int]) -> list[float]:
    """Return the weighted mean of each column; a single row as it is."""
    if len(rows) == 1:
        return list(rows[0])
    total = sum(weights)
    return [fsum(map(mul, column, weights)) / total for column in zip(*rows, strict=True)]


def normalized(row: Sequence[float]) -> list[float]:
    """Return the row at length 1; a row of zeros as it is."""
    norm = sqrt(fsum(map(mul, row, row)))
    return [value / norm for value in row] if norm else list(row)


def all_finite(row: Sequence[float]) -> bool:
    """Tell whether float32 numbers are all finite: as doubles their sum cannot overflow, and NaN and inf stay in it."""
    return isfinite(sum(row))


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the cosine of two vectors of float32 numbers; two zero vectors count as equal, one of them as 0."""
    norms = sqrt(fsum(map(mul, a, a))) * sqrt(fsum(map(mul, b, b)))
    if norms == 0:
        return 0.0 if any(a) or any(b) else 1.0
    return fsum(map(mul, a, b)) / norms
