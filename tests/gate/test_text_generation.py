import math

import numpy as np
import pytest

from tests.gate.test_judge import EMBEDDER, replace
from toolkit.errors import NumericsError
from toolkit.gate import Evidence, Rules, judge
from toolkit.gate.text_generation import outcomes, told
from toolkit.limits import Bounds
from toolkit.runtime.manifest import FileInfo
from toolkit.samples import Samples

MODEL = replace(EMBEDDER, task="text-generation", pooling=None)
LIMITS = {"perplexity_ratio": Bounds(max=1.05), "next_token_agreement": Bounds(min=0.9)}


def outputs(logits, tokens):
    """Return [texts, tokens - 1, 3] for logits [texts, tokens, vocabulary]."""
    return np.stack([outcomes(row, np.array(ids)) for row, ids in zip(logits, tokens, strict=True)])


def judged(fp32, int8, rules=None, rows=None):
    texts = tuple(f"text {row}" for row in range(rows or len(fp32)))
    samples = Samples("stories", "1", "none", "here", texts)
    evidence = Evidence(samples, (fp32, int8), (FileInfo("f", 200), FileInfo("i", 50)), np.full(len(texts), 5))
    return judge(MODEL, evidence, LIMITS, rules or Rules("point"))


def test_outcomes_are_log_probabilities_the_likeliest_and_a_one():
    logits = np.array([[0, 0, 0, 0], [1, 0, 0, 3], [9, 9, 9, 9]], np.float32)
    found = outcomes(logits, np.array([0, 2, 3]))
    second = 3 - math.log(1 * math.e + 1 + 1 + math.e**3)
    assert found == pytest.approx(np.array([[-math.log(4), 0, 1], [second, 3, 1]], np.float32))
    assert found.dtype == np.float32


def test_perplexity_ratio_and_agreement():
    even = np.zeros((2, 4, 8), np.float32)
    sure = even.copy()
    sure[0, 0, 5] = 1  # another likeliest token at one of six places
    report = judged(outputs(even, [[1] * 4] * 2), outputs(sure, [[1] * 4] * 2))
    found = {verdict.metric: verdict for verdict in report.verdicts}
    less = math.log(7 + math.e) - math.log(8)
    assert found["perplexity"].fp32 == pytest.approx(8, abs=1e-5)
    assert found["perplexity"].int8 == pytest.approx(8 * math.exp(less / 6), abs=1e-5)
    assert found["perplexity_ratio"].int8 == pytest.approx(math.exp(less / 6), abs=1e-6)
    assert found["next_token_agreement"].int8 == pytest.approx(5 / 6, abs=1e-6)
    assert [found[name].outcome for name in ("perplexity", "perplexity_ratio", "next_token_agreement")] == [
        "no limit",
        "pass",
        "fail",
    ]
    assert "sqnr_db" not in found
    assert found["size_ratio"].int8 == 0.25
    assert not report.passed


def test_shorter_texts_and_texts_of_one_token_weigh_less():
    filled = np.zeros((3, 3, 3), np.float32)
    filled[0, :, :] = [-2, 1, 1]
    filled[1, :1, :] = [-1, 1, 1]
    report = judged(filled, filled)
    found = {verdict.metric: verdict for verdict in report.verdicts}
    assert found["perplexity"].fp32 == pytest.approx(math.exp(7 / 4))
    assert (found["perplexity_ratio"].int8, found["next_token_agreement"].int8) == (1, 1)
    assert report.worst[0].distance == 0
    assert [item.rows for item in report.slices] == [3]


def test_a_logit_that_is_not_finite_fails_first():
    logits = np.zeros((2, 3, 4), np.float32)
    broken = logits.copy()
    broken[1, 0, 3] = np.inf
    report = judged(outputs(logits, [[1] * 3] * 2), outputs(broken, [[1] * 3] * 2))
    assert [(verdict.metric, verdict.int8, verdict.outcome) for verdict in report.verdicts] == [
        ("non_finite_rows", 1, "fail")
    ]
    with pytest.raises(NumericsError, match="the float model's output is not finite"):
        judged(outputs(broken, [[1] * 3] * 2), outputs(logits, [[1] * 3] * 2))


def test_intervals_draw_texts_and_few_texts_do_not_decide():
    rng = np.random.default_rng(0)
    fp32 = np.concatenate([rng.normal(-1.5, 0.5, (80, 20, 1)), np.ones((80, 20, 2))], axis=2).astype(np.float32)
    near = fp32.copy()
    near[..., 0] += rng.normal(0, 0.02, (80, 20))
    few, many = judged(fp32[:20], near[:20], Rules()), judged(fp32, near, Rules())
    ratio = {len(report.verdicts): report.verdicts[2] for report in (few,)}
    assert [verdict.metric for verdict in ratio.values()] == ["perplexity_ratio"]
    assert not few.passed
    assert "30 more texts needed" in few.verdicts[2].note
    assert many.passed
    interval = many.verdicts[2].interval
    assert interval.low < many.verdicts[2].int8 < interval.high


def test_the_worst_texts_say_their_perplexities():
    fp32 = np.tile(np.array([-1, 3, 1], np.float32), (2, 4, 1))
    int8 = fp32.copy()
    int8[1, :, 0] = -2
    found = told(MODEL, Samples("x", "1", "", "", ("a", "b")), (fp32, int8))
    assert found.distances.tolist() == [0, 1]
    assert found.words(1) == ("perplexity 2.72", "perplexity 7.39")
