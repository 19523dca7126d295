import numpy as np
import pytest

from tests.runtime.tiny import LABELS, TEXTS, text_model
from toolkit.runtime.classifier import Classifier, Prediction, sigmoid, softmax
from toolkit.runtime.errors import BundleError, UsageError

pytestmark = pytest.mark.usefixtures("engine")


def classifier(multi_label: bool = False) -> Classifier:
    return Classifier(text_model(), LABELS["labels"], multi_label)


def test_softmax_of_the_logits_best_first():
    found = classifier()
    logits, rows = found.logits(TEXTS), found.classify(TEXTS)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities(TEXTS), scores, rtol=1e-5)
    for row, expected in zip(rows, scores, strict=True):
        assert [p.label for p in row] == [LABELS["labels"][i] for i in np.argsort(-expected)]
        assert sum(p.score for p in row) == pytest.approx(1)


def test_multi_label_scores_are_each_their_own():
    found = classifier(multi_label=True)
    np.testing.assert_allclose(found.probabilities(TEXTS), 1 / (1 + np.exp(-found.logits(TEXTS))), rtol=1e-5)


def test_top_k():
    found = classifier()
    assert [len(row) for row in found.classify(TEXTS, 2)] == [2, 2, 2]
    assert [len(row) for row in found.classify(TEXTS, 99)] == [4, 4, 4]
    assert found.classify([]) == []
    assert isinstance(found.classify(["a"], 1)[0][0], Prediction)
    with pytest.raises(UsageError, match="top_k is too small"):
        found.classify(TEXTS, 0)


def test_labels_must_fit():
    with pytest.raises(BundleError, match="labels do not fit the model\n  got: 1\n  expected: 4"):
        Classifier(text_model(), ["joy"])


def test_extreme_logits_neither_overflow_nor_lose_type():
    logits = np.array([[3e38, -3e38], [0, 0], [-1e4, 1e-40]], dtype=np.float32)
    with np.errstate(over="ignore"):
        assert softmax(logits).tolist() == [[1, 0], [0.5, 0.5], [0, 1]]
    assert sigmoid(logits).tolist() == [[1, 0], [0.5, 0.5], [0, 0.5]]
    assert softmax(logits[1:]).dtype == sigmoid(logits).dtype == np.float32
