from dataclasses import replace

import numpy as np
import pytest

from tests.gate.test_judge import EMBEDDER, PAIRS, judge, verdicts
from toolkit.gate import TASKS, texts_of
from toolkit.limits import Bounds, Limit

RERANKER = replace(EMBEDDER, task="reranking", output="logits")
FP32 = np.array([[-2.0], [3.0], [0.5]], np.float32)
LIMITS = {"spearman": Limit(max_drop=0.01), "score_correlation": Bounds(min=0.99)}


def test_each_row_is_a_pair():
    assert texts_of(RERANKER, PAIRS) == [("a", "b"), ("c", "d"), ("a", "d")]


def test_the_same_scores_pass():
    report = judge(RERANKER, PAIRS, (FP32, FP32), LIMITS)
    assert report.passed
    found = verdicts(report)
    assert list(found) == ["non_finite_rows", "spearman", "score_correlation", "sqnr_db", "size_ratio"]
    assert (found["spearman"].fp32, found["spearman"].int8, found["score_correlation"].int8) == (1, 1, 1)
    assert report.histogram is None


def test_another_order_fails_and_the_worst_row_is_told():
    report = judge(RERANKER, PAIRS, (FP32, np.array([[2.0], [3.0], [0.5]], np.float32)), LIMITS)
    assert not report.passed
    assert verdicts(report)["spearman"].outcome == "fail"
    assert (report.worst[0].text, report.worst[0].fp32, report.worst[0].int8) == ("a", "score 0.1192", "score 0.8808")


@pytest.mark.parametrize(
    ("fp32", "int8", "outcomes"),
    [
        (FP32, np.zeros((3, 1), np.float32), ("fail", "fail")),
        (np.zeros((3, 1), np.float32), FP32, ("not measured", "fail")),
    ],
)
def test_one_score_for_all_is_no_ranking(fp32, int8, outcomes):
    found = verdicts(judge(RERANKER, PAIRS, (fp32, int8), LIMITS))
    assert (found["spearman"].outcome, found["score_correlation"].outcome) == outcomes


def test_without_scores_the_two_are_still_compared():
    found = verdicts(judge(RERANKER, replace(PAIRS, scores=None), (FP32, FP32), LIMITS))
    assert found["spearman"].note == "the set has no scores"
    assert found["score_correlation"].outcome == "pass"


def test_huge_logits_do_not_overflow():
    told = TASKS["reranking"].told(RERANKER, PAIRS, (1e5 * FP32, -1e5 * FP32))
    assert told.distances.tolist() == [1, 1, 1]
