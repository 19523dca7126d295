"""The graph built without torch against optimum's export: the golden file of benchmarks/parity.py."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import models
from toolkit.errors import MissingExtraError
from toolkit.samples import load_samples
from toolkit.sources import DEMO_NAME, Source, SourceOptions, demo_model, open_source

GOLDEN = Path(__file__).parent.parent / "golden" / "minilm_optimum.npz"


@pytest.fixture(scope="module")
def minilm() -> Source:
    try:
        folder = demo_model()
    except MissingExtraError as error:
        pytest.skip(str(error))
    return open_source(str(folder), SourceOptions(name=DEMO_NAME, normalize=False))


def test_facts_of_the_demo_model(minilm):
    assert (minilm.name, minilm.task, minilm.output) == (DEMO_NAME, "embedding", "sentence_embedding")
    assert (minilm.max_length, minilm.pad_id, minilm.pooling, minilm.built_by) == (
        256,
        0,
        "mean",
        "edgequant",
    )
    assert '"truncation":null,"padding":null' in minilm.tokenizer_json


def test_pooled_embeddings_equal_optimum(minilm):
    golden = np.load(GOLDEN)
    texts = load_samples("stsb", "evaluation").texts
    chosen = [texts[place] for place in golden["places"]]
    assert hashlib.sha256("\n".join(chosen).encode()).hexdigest() == golden["digest"], "run make parity again"
    run = models.session(minilm)
    for start in range(0, len(chosen), 25):
        ours = run.run(None, models.feed(minilm, chosen[start : start + 25]))[0]
        np.testing.assert_allclose(ours, golden["pooled"][start : start + 25], rtol=0, atol=1e-4)


def test_token_embeddings_equal_optimum(minilm):
    golden = np.load(GOLDEN)
    texts = load_samples("stsb", "evaluation").texts
    value = next(node for node in minilm.model.graph if node.name == "pooling/Mul").inputs[0]
    minilm.model.graph.outputs.append(value)
    try:
        run = models.session(minilm)
    finally:
        minilm.model.graph.outputs.pop()
    for i in range(3):
        ours = run.run([value.name], models.feed(minilm, [texts[golden["places"][i]]]))[0][0]
        np.testing.assert_allclose(ours, golden[f"tokens_{i}"], rtol=0, atol=1e-4)


def test_normalization_is_what_modules_json_says(minilm):
    source = open_source(str(demo_model()))
    assert replace(minilm, normalize=True).normalize == source.normalize
    plain, unit = (models.outputs(s, ["A short sentence."]) for s in (minilm, source))
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-6)
