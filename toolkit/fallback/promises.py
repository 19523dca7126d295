"""Those limits that can be looked at without labels, on texts held out of calibration."""

from collections.abc import Callable, Mapping

import numpy as np

from toolkit import metrics
from toolkit.limits import Bounds
from toolkit.lower.linear import Float
from toolkit.numerics.sqnr import sqnr_db
from toolkit.runtime.similarity import cosines

Measure = Callable[[Float, Float], float]


def _correlation(reference: Float, found: Float) -> float:
    return metrics.pearson(reference[:, 0].astype(np.float64), found[:, 0].astype(np.float64))


def _flips(reference: Float, found: Float) -> float:
    return float((reference.argmax(1) != found.argmax(1)).mean())


def _signs(reference: Float, found: Float) -> float:
    return float(((reference > 0) != (found > 0)).mean())


MEASURES: Mapping[str, Measure] = {
    "cosine_mean": lambda reference, found: float(cosines(reference, found).mean()),
    "cosine_p1": lambda reference, found: float(np.percentile(cosines(reference, found), 1)),
    "cosine_min": lambda reference, found: float(cosines(reference, found).min()),
    "score_correlation": _correlation,
    "sqnr_db": sqnr_db,
    "label_flips": _flips,
}


def promised(limits: Mapping[str, Bounds], reference: Float, found: Float, multi_label: bool) -> bool:
    """Tell whether all limits that need no labels hold for outputs [texts or tokens, dimension], by their values."""
    if not np.isfinite(found).all():
        return False
    measures = {**MEASURES, "label_flips": _signs} if multi_label else MEASURES
    for name, bounds in limits.items():
        if name in measures:
            value = measures[name](reference, found)
            if not (bounds.min is None or value >= bounds.min) or not (bounds.max is None or value <= bounds.max):
                return False
    return True
