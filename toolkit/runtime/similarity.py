"""How alike two models' outputs are: on the device for golden vectors, and where bundles are judged."""

from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


def cosines(a: FloatArray, b: FloatArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the cosine of each row of a [n, d] with its row of b [n, d]; two zero rows count as equal."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    both_zero = ~x.any(axis=1) & ~y.any(axis=1)
    products = np.einsum("nd,nd->n", x, y) / np.where(norms == 0, 1, norms)
    return np.asarray(np.where(both_zero, 1.0, products), np.float64)
