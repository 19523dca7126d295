"""How well the numbers of two models order rows whose order is known."""

from functools import partial

import numpy as np

from toolkit import metrics, statistics
from toolkit.gate.task import Measured
from toolkit.statistics import Doubles


def spearman(fp32: Doubles, int8: Doubles, scores: tuple[float, ...], what: str) -> Measured:
    """Return Spearman's correlation of each model's numbers [rows], called ``what``, with the set's scores."""
    gold = np.array(scores, np.float64)
    before, after = metrics.spearman(fp32, gold), metrics.spearman(int8, gold)
    if not np.isfinite(before):
        return Measured("spearman", None, None, f"the set's scores or the {what} of fp32 are all equal")
    if not np.isfinite(after):
        return Measured("spearman", before, 0.0, f"the {what} of int8 are all equal")
    drawn = statistics.spearman(int8, gold)
    change = statistics.difference(drawn, statistics.spearman(fp32, gold))
    return Measured(
        "spearman",
        before,
        after,
        value=partial(statistics.bootstrap, drawn, len(gold)),
        change=partial(statistics.bootstrap, change, len(gold)),
    )
