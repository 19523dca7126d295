import collections

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from safetensors.numpy import load_file, save_file

from tests import models
from tests.graphs import operators, serialized
from toolkit.apply import apply
from toolkit.feeds import equal_length_feeds
from toolkit.forms import Forms
from toolkit.isa.pair_bound import pair_bound
from toolkit.isa.pinned import OWN, pin
from toolkit.lower import lower
from toolkit.observe import observe
from toolkit.plan import plan
from toolkit.sources import open_source
from toolkit.targets import Quantization, Rule
from toolkit.tuning.rewrite import with_forms

PLAIN = Forms(attention="matmul", projection="merged", normalization="parts", gelu="erf")
INT8 = Rule(why="int8", select="linear", precision="int8", weight_range="pair", smoothing="search")
EXACT = [
    {},
    {"projection": "separate"},
    {"attention": "multi-head"},
    {"attention": "onnx"},
    {"projection": "separate", "attention": "onnx"},
    {"normalization": "fused"},
    {"gelu": "biased"},
]
LAYERS = 2


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    """Return the int8 graph of a tiny BERT some of whose channels are large, so that smoothing pays everywhere."""
    return quantized(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Return the same of a classifier, whose last layer has one query a text."""
    return quantized(tmp_path_factory.mktemp("models") / "bert", "classifier")


def quantized(folder, head=None):
    models.tiny_bert(folder, head=head, hidden=64, layers=LAYERS)
    save_file(enlarge(load_file(folder / "model.safetensors")), folder / "model.safetensors")
    source = open_source(str(folder))
    lowered = lower(source.model)
    ids = np.random.default_rng(0).integers(5, 28, (30, 12)).tolist()
    feeds = equal_length_feeds(models.as_encoded(ids), [str(value.name) for value in source.model.graph.inputs])
    return apply(lowered, plan(lowered, observe(lowered, feeds), Quantization(rules=(INT8,))))


def enlarge(tensors):
    """Make one channel of what attention, normalization and GELU give much larger than the others."""
    for name, tensor in tensors.items():
        if name.endswith(("value.weight", "LayerNorm.weight", "intermediate.dense.weight")):
            tensor[5] *= 40
    return tensors


def formed(int8, **forms):
    return with_forms(int8, PLAIN.model_copy(update=forms))


def padded():
    """Return a batch of three rows of ids, the last two padded."""
    ids = np.random.default_rng(1).integers(5, 28, (3, 12))
    mask = np.ones_like(ids)
    mask[1, 7:] = mask[2, 2:] = 0
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def ran(model, feed):
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, feed), strict=True))


@pytest.mark.parametrize("forms", EXACT, ids=str)
def test_a_form_gives_the_same_numbers(int8, forms):
    require_same_numbers(int8, forms, "sentence_embedding")


@pytest.mark.parametrize("forms", EXACT, ids=str)
def test_a_form_gives_the_same_numbers_where_one_token_asks(classifier, forms):
    require_same_numbers(classifier, forms, "logits")


def require_same_numbers(int8, forms, output):
    """Give each layer the same int8 inputs: nothing is left but the rounding of float."""
    feed = padded()
    reference, variant = pin(serialized(int8), "plain"), pin(serialized(formed(int8, **forms)), "form")
    assert set(variant.names) == set(reference.names)
    expected = ran(reference.free, feed)
    found = ran(variant.held, feed | {name: expected[name] for name in reference.names})
    np.testing.assert_allclose(found[output], expected[output], rtol=1e-5, atol=2e-6)
    for name in reference.names:
        steps = np.abs(found[name + OWN].astype(int) - expected[name])
        assert steps.max() <= 1
        assert np.count_nonzero(steps) <= 2


@pytest.mark.parametrize("forms", [*EXACT, {"gelu": "tanh"}], ids=str)
def test_padding_changes_nothing(int8, forms):
    model, feed = serialized(formed(int8, **forms)), padded()
    together = ran(model, feed)["sentence_embedding"]
    for row, length in enumerate((12, 7, 2)):
        alone = ran(model, {name: value[row : row + 1, :length] for name, value in feed.items()})
        np.testing.assert_allclose(together[row], alone["sentence_embedding"][0], atol=1e-5)


@pytest.mark.parametrize("forms", EXACT, ids=str)
def test_the_pair_bound_holds_in_every_form(int8, forms, tmp_path):
    (tmp_path / "model.onnx").write_bytes(serialized(formed(int8, **forms)))
    found = pair_bound(tmp_path / "model.onnx")
    assert not found.refuted
    assert found.products == LAYERS * (6 if forms.get("projection") == "separate" else 4)


@pytest.mark.parametrize(
    ("forms", "gone", "come"),
    [
        ({"projection": "separate"}, {"Split": 2}, {"MatMulIntegerToFloat": 4}),
        ({"attention": "onnx"}, {"Softmax": 2, "MatMul": 4, "Transpose": 8, "Reshape": 8}, {"Attention": 2}),
        ({"attention": "multi-head"}, {"Softmax": 2, "Transpose": 8}, {"MultiHeadAttention": 2, "Expand": 1}),
        ({"normalization": "fused"}, {"LayerNormalization": 4, "Add": 4}, {"SkipLayerNormalization": 4}),
        ({"gelu": "biased"}, {"Gelu": 2}, {"BiasGelu": 2}),
        ({"gelu": "tanh"}, {"Gelu": 2}, {"FastGelu": 2}),
    ],
    ids=str,
)
def test_a_form_is_these_operators(int8, forms, gone, come):
    before = collections.Counter(operators(formed(int8)))
    after = collections.Counter(operators(formed(int8, **forms)))
    assert {kind: before[kind] - after[kind] for kind in gone} == gone
    assert {kind: after[kind] - before[kind] for kind in come} == come


def test_an_approximation_stays_near(int8):
    feed = padded()
    exact, fast = (ran(serialized(formed(int8, gelu=gelu)), feed)["sentence_embedding"] for gelu in ("erf", "tanh"))
    assert 0 < np.abs(exact - fast).max() < 0.01 * np.abs(exact).max()


def test_smoothing_behind_attention_costs_nothing(int8):
    smoothed = [node.name for node in int8.graph if node.op_type == "Mul" and ".smoothed" in str(node.name)]
    assert any(".context" in name for name in smoothed)
    left = [node.name for node in formed(int8).graph if node.op_type == "Mul" and ".smoothed" in str(node.name)]
    assert left == [name for name in smoothed if ".context" not in name]


def test_the_graph_that_is_rewritten_stays(int8):
    before = serialized(int8)
    formed(int8, projection="separate", attention="onnx", normalization="fused", gelu="tanh")
    assert serialized(int8) == before


def test_a_graph_of_an_old_opset_keeps_its_attention(int8):
    old = int8.clone()
    old.opset_imports[""] = 17
    assert "Attention" not in operators(formed(old, attention="onnx"))


def test_heads_that_are_no_constant_stay(int8):
    odd = int8.clone()
    for node in odd.graph:
        if node.op_type == "Reshape" and str(node.name).endswith("key/Reshape"):
            other = ir.val("odd", const_value=ir.tensor(np.array([0, 0, 2, 32]), name="odd"))
            odd.graph.initializers.setdefault("odd", other)
            node.replace_input_with(1, odd.graph.initializers["odd"])
    for attention in ("onnx", "multi-head"):
        assert operators(formed(odd, attention=attention)) == operators(formed(odd))
