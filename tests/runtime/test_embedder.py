import numpy as np
import pytest

from tests.runtime.tiny import TEXTS, text_model
from toolkit.runtime import Embedder

pytestmark = pytest.mark.usefixtures("engine")


def test_encode_is_embed_under_other_names():
    embedder = Embedder(text_model())
    np.testing.assert_array_equal(embedder.encode(list(TEXTS)), embedder.embed(TEXTS))
    np.testing.assert_array_equal(embedder.encode(list(TEXTS), batch_size=1), embedder.embed(TEXTS, 1))
    assert embedder.encode("a cat").shape == (4,)
    assert embedder.encode([]).shape == (0, 4)
    assert embedder.encode("a cat", convert_to_numpy=False) == embedder.embed("a cat").tolist()
    assert embedder.encode(["a cat"], convert_to_numpy=False) == [embedder.embed("a cat").tolist()]


def test_normalized_on_demand_and_once():
    embedder, done = Embedder(text_model()), Embedder(text_model(), normalized=True)
    found, plain = embedder.encode(list(TEXTS), normalize_embeddings=True), embedder.embed(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-7)
    assert np.linalg.norm(embedder.encode(TEXTS[0], normalize_embeddings=True)) == pytest.approx(1)
    np.testing.assert_array_equal(done.encode(list(TEXTS), normalize_embeddings=True), done.embed(TEXTS))
