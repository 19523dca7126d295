import hashlib

import numpy as np
import pytest

from tests.runtime.tiny import text_model
from toolkit.golden import TEXTS, golden_vectors


def test_the_texts_are_fixed():
    """Bundles of different versions can be compared by them; whoever changes them changes this line."""
    digest = hashlib.sha256("\n".join(TEXTS).encode()).hexdigest()
    assert digest == "e6e9cca2d4a231675c14fd2f977443294767b1df5e81568a244b3f5f7226ef3e"


def test_the_texts_differ_in_what_matters():
    assert len(set(TEXTS)) == len(TEXTS) == 8
    lengths = [len(text.split()) for text in TEXTS]
    assert min(lengths) == 1
    assert max(lengths) > 64
    assert any(not text.isascii() for text in TEXTS)
    assert not any("\n" in text for text in TEXTS)


@pytest.mark.parametrize(("task", "difference"), [("embedding", 0.02), ("classification", 0.5), ("reranking", 0.5)])
def test_vectors_of_a_model(task, difference):
    model = text_model()
    golden = golden_vectors(model, task)
    assert golden.texts == TEXTS
    assert (golden.min_cosine, golden.max_difference) == (0.995, difference)
    assert golden.inputs[0] == ((TEXTS[0], TEXTS[1]) if task == "reranking" else TEXTS[0])
    np.testing.assert_allclose(golden.outputs, model.run(golden.inputs), rtol=0, atol=5.1e-7)
    assert all(number == round(number, 6) for row in golden.outputs for number in row)
    assert golden == golden_vectors(model, task)
