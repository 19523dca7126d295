import pytest

from tests.runtime.tiny import TEXTS
from toolkit.runtime import EmotionEngine, load
from toolkit.runtime.errors import UsageError


def test_it_is_the_classifier_of_the_bundle(classifier_bundle):
    assert EmotionEngine(classifier_bundle, threads=1).analyze(TEXTS) == load(classifier_bundle).analyze(TEXTS)


def test_a_bundle_for_another_task_is_told(bundle):
    with pytest.raises(UsageError, match=r"gives no labels to texts\n.*\n  got: Embedder"):
        EmotionEngine(bundle)
