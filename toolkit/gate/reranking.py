"""Reranking: how closely int8's scores of pairs follow fp32's, and how well both follow known scores."""

from functools import partial

import numpy as np

from toolkit import metrics, statistics
from toolkit.gate import ranking
from toolkit.gate.classification import places, texts
from toolkit.gate.task import Judged, Measured, Outputs, Told
from toolkit.metrics import Float
from toolkit.samples import Samples
from toolkit.statistics import Doubles

__all__ = ["alike", "measure", "places", "texts", "told"]


def measure(model: Judged, samples: Samples, outputs: Outputs) -> list[Measured]:  # noqa: ARG001 - a TaskGate's
    """Return Spearman's correlation with the set's scores, and Pearson's of int8's logits with fp32's."""
    fp32, int8 = (y[:, 0].astype(np.float64) for y in outputs)
    agreement = _agreement(fp32, int8)
    if samples.scores is None:
        return [Measured("spearman", None, None, "the set has no scores"), agreement]
    return [ranking.spearman(fp32, int8, samples.scores, "scores"), agreement]


def told(model: Judged, samples: Samples, outputs: Outputs) -> Told:  # noqa: ARG001 - a TaskGate's
    """Compare the scores, 0 to 1."""
    fp32, int8 = (_scores(y) for y in outputs)
    words = lambda row: (f"score {fp32[row]:.4f}", f"score {int8[row]:.4f}")  # noqa: E731 - what Told takes
    return Told(np.abs(fp32 - int8), np.zeros(len(fp32), bool), words)


def alike(outputs: Outputs) -> None:
    """Return None: one number has no direction."""


def _agreement(fp32: Doubles, int8: Doubles) -> Measured:
    found = metrics.pearson(fp32, int8)
    if not np.isfinite(found):
        return Measured("score_correlation", None, 0.0, "the scores of fp32 or of int8 are all equal")
    value = partial(statistics.bootstrap, statistics.pearson(fp32, int8), len(fp32))
    return Measured("score_correlation", None, found, value=value)


def _scores(logits: Float) -> Doubles:
    return np.asarray(np.exp(-np.logaddexp(0, -logits[:, 0].astype(np.float64))), np.float64)
