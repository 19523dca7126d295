import numpy as np
import pytest

from tests.models import tiny_bert
from tests.runtime.tasks import loaded
from tests.runtime.tiny import text_model
from toolkit.runtime import Ranked, Reranker
from toolkit.runtime.errors import BundleError, TextError, UsageError

TEXTS = ["the dog ran", "a red cat sat", "a red cat sat on the mat and was good", "x"]


@pytest.fixture(scope="module")
def reranker(tmp_path_factory):
    return Reranker(loaded(tiny_bert(tmp_path_factory.mktemp("r") / "m", head="reranker")))


def test_scores_are_the_sigmoid_of_the_logit(reranker):
    scores = reranker.score("the cat", TEXTS)
    logits = reranker.model.run([("the cat", text) for text in TEXTS])[:, 0].astype(np.float64)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), rtol=1e-12)


def test_the_best_come_first_and_the_query_is_read(reranker):
    ranked = reranker.rank("the cat", TEXTS)
    scores = reranker.score("the cat", TEXTS)
    assert ranked == sorted((Ranked(i, s) for i, s in enumerate(scores)), key=lambda each: -each.score)
    assert reranker.rank("the cat", TEXTS, 2) == ranked[:2]
    assert reranker.score("the dog", TEXTS) != scores
    assert reranker.rank("the cat", ["x", "x"])[0].index == 0
    assert reranker.rank("the cat", []) == []


def test_a_score_is_its_own(reranker):
    alone = [reranker.score("the cat", [text])[0] for text in TEXTS]
    np.testing.assert_allclose(reranker.score("the cat", TEXTS), alone, atol=1e-6)


def test_bad_calls_are_told(reranker):
    with pytest.raises(TextError, match="the query is not a string"):
        reranker.score(3, TEXTS)
    with pytest.raises(TextError, match="wrap one text"):
        reranker.score("the cat", "text")
    with pytest.raises(UsageError, match="top_k is too small"):
        reranker.rank("the cat", TEXTS, 0)
    with pytest.raises(BundleError, match="a reranker gives one number"):
        Reranker(text_model())
