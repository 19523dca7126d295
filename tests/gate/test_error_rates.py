"""The gate on halves of STS-B: a good int8 model fails none of them, one that is a point of Spearman worse passes none.

The similarities are those of real models; ``benchmarks/gate_errors.py --save`` writes them, and has larger simulations.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from toolkit import gate
from toolkit.gate import Rules, ranking
from toolkit.limits import Limit
from toolkit.metrics import spearman
from toolkit.targets import load_recipe

STORED = Path(__file__).parent.parent / "golden" / "stsb_similarities.npz"


@pytest.fixture(scope="module")
def stored():
    with np.load(STORED) as found:
        return {name: found[name].astype(np.float64) for name in found.files}


def outcomes(stored, model, parts, limit):
    found = []
    for rows in parts:
        scores = tuple(stored["gold"][rows].tolist())
        measured = ranking.spearman(stored["fp32"][rows], stored[model][rows], scores, "similarities")
        (verdict,) = gate.verdicts([measured], {"spearman": limit}, Rules())
        found.append(verdict.outcome)
    return Counter(found)


def drop(stored, model):
    return spearman(stored["fp32"], stored["gold"]) - spearman(stored[model], stored["gold"])


@pytest.mark.slow
def test_twenty_halves(stored):
    assert drop(stored, "good") < 0.001
    assert drop(stored, "spoilt") == pytest.approx(0.01, abs=5e-4)
    random = np.random.default_rng(0)
    parts = [np.sort(random.permutation(1379)[:689]) for _ in range(20)]
    limit = load_recipe("x86-avx2").gate.embedding.spearman
    good, spoilt = (outcomes(stored, model, parts, limit) for model in ("good", "spoilt"))
    assert good["fail"] == 0
    assert good["pass"] >= 19  # of half the rows one in twenty is not enough data
    assert spoilt["pass"] == 0


@pytest.mark.slow
def test_at_the_limit_either_answer_is_rare(stored):
    random = np.random.default_rng(1)
    parts = [random.integers(0, 1379, 345) for _ in range(60)]
    found = outcomes(stored, "spoilt", parts, Limit(max_drop=drop(stored, "spoilt")))
    assert found["pass"] <= 8  # 5 in 100 of 60 are 3, and 9 come once in 300
    assert found["fail"] <= 8
