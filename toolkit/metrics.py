"""What the gate measures, each as a plain function of arrays."""

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def average_ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the ranks [n] from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], np.float64)


def pearson(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return Pearson's correlation; NaN where either is constant."""
    x, y = a - a.mean(), b - b.mean()
    norm = np.sqrt((x * x).sum() * (y * y).sum())  # not by a BLAS, whose order of adding depends on its threads
    return float((x * y).sum() / norm) if norm else float("nan")


def spearman(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation with average ranks for ties; NaN where either is constant."""
    return pearson(average_ranks(a), average_ranks(b))


def accuracy(predicted: Ints, gold: Ints) -> float:
    """Return the share of rows that are right."""
    return float((predicted == gold).mean())


def macro_f1(predicted: Ints, gold: Ints) -> float:
    """Return the mean F1 over the classes that occur in either; a class without a hit has F1 0."""
    scores = []
    for label in np.union1d(predicted, gold):
        hits = int(((predicted == label) & (gold == label)).sum())
        scores.append(2 * hits / int((predicted == label).sum() + (gold == label).sum()))
    return float(np.mean(scores))
