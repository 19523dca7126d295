from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


scores = st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4)
limits = st.one_of(st.none(), st.floats(0, 1), st.dictionaries(st.sampled_from(LABELS["labels"]), st.floats(0, 1)))


@given(scores, st.one_of(st.none(), st.integers(1, 6)), limits)
def test_what_is_kept_reaches_its_threshold_and_is_the_best_of_that(row, top_k, threshold):
    labels = LABELS["labels"]
    with patch.object(Classifier, "probabilities", lambda *_, **__: np.array([row], np.float32)):
        (found,) = classifier().analyze(["a"], top_k=top_k, threshold=threshold)
        assert classifier().classify(["a"], top_k, threshold) == [list(found.predictions)]
    assert list(found.probabilities.items()) == list(zip(labels, row, strict=True))
    least = threshold if isinstance(threshold, dict) else dict.fromkeys(labels, threshold or 0)
    able = [label for label, score in found.probabilities.items() if score >= least.get(label, 0)]
    best = sorted(able, key=lambda label: -found.probabilities[label])[:top_k]
    assert list(found.labels) == best
    assert found.label == (best[0] if best else None)
    assert found.score == (found.probabilities[best[0]] if best else None)
    assert all(p.score == found.probabilities[p.label] for p in found.predictions)


@pytest.mark.parametrize("multi_label", [False, True])
def test_analyze_gives_one_for_a_string_and_a_list_for_a_list(multi_label):
    found = classifier(multi_label)
    every = found.analyze(list(TEXTS))
    assert [list(one.probabilities.values()) for one in every] == found.probabilities(TEXTS).tolist()
    assert found.analyze(TEXTS[0]).labels == found.analyze([TEXTS[0]])[0].labels
    assert found.analyze([]) == []


def test_thresholds_that_cannot_be_are_told():
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="the threshold is no probability"):
            classifier().analyze("a", threshold=bad)
    with pytest.raises(UsageError, match="no probability\n  where: joy\n  got: 2"):
        classifier().classify(["a"], threshold={"joy": 2})
    with pytest.raises(UsageError, match="the model has not\n  got: glee\n  expected: joy, anger, fear, none"):
        classifier().analyze("a", threshold={"glee": 0.5})
