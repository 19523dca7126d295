"""Whole encoders from other exporters, written by benchmarks/exports.py --write-fixtures; `make exports` tries all."""

import collections
import gzip
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx_ir.passes.common import ShapeInferencePass

from tests.graphs import run
from toolkit.lower import Lowered, lower
from toolkit.sources.widen import Widen

FILES = sorted((Path(__file__).parent.parent / "golden" / "exports").glob("*.onnx.gz"))
HIDDEN, LAYERS, VOCABULARY = 32, 2, 100
PLAIN = ("Add", "LayerNormalization", "MatMul", "Reshape", "Softmax", "Split", "Transpose")  # of every layer


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.name.removesuffix(".onnx.gz"))
def each(request: pytest.FixtureRequest) -> tuple[str, ir.Model, Lowered]:
    model = ir.from_proto(onnx.load_from_string(gzip.decompress(request.param.read_bytes())))
    wide = model.clone()
    Widen()(wide)  # as files are read
    ShapeInferencePass()(wide)
    return request.param.name, model, lower(wide)


def feed(model: ir.Model, batch: int, length: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    found = {str(value.name): random.integers(3, VOCABULARY, (batch, length)) for value in model.graph.inputs}
    found["attention_mask"] = np.ones((batch, length), np.int64)
    for row in range(1, batch):
        found["attention_mask"][row, max(1, length - 2 * row) :] = 0
    if "token_type_ids" in found:
        found["token_type_ids"] = random.integers(0, 2, (batch, length))
    return found


def test_there_are_files():
    assert len(FILES) > 10


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 5)])
def test_the_function_is_kept(each, shape):
    name, model, lowered = each
    given = feed(model, *shape)
    before, after = run(model, given)["last_hidden_state"], run(lowered.model, given)["last_hidden_state"]
    # Of a file in float16 the file itself is what is inexact.
    np.testing.assert_allclose(after, before, rtol=0, atol=5e-3 if "float16" in name else 1e-5)


def test_every_layer_is_found(each):
    name, _, lowered = each
    projected = [(16, HIDDEN)] if name.startswith(("albert", "electra")) else []
    layer = [(HIDDEN, 3 * HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 64), (64, HIDDEN)]
    assert [linear.weight.shape for linear in lowered.linears] == projected + layer * LAYERS
    assert all(linear.bias is not None for linear in lowered.linears)


def test_only_attention_stays_float(each):
    _, _, lowered = each
    assert len(lowered.unquantized) == 2 * LAYERS
    assert all(line.endswith(": both factors are activations") for line in lowered.unquantized)


def test_functions_are_one_node_each(each):
    _, _, lowered = each
    kinds = collections.Counter(node.op_type for node in lowered.model.graph)
    assert kinds["Gelu"] + kinds["FastGelu"] == LAYERS
    assert kinds["LayerNormalization"] == 2 * LAYERS + 1
    assert {"Erf", "Tanh", "Sqrt", "ReduceMean", "Expand", "Identity", "Concat"}.isdisjoint(kinds)
    assert kinds["Div"] <= 2 * ("mpnet" in each[0])  # of its buckets; those of scores are in the weights


def test_the_layers_hold_nothing_else(each):
    """After the first layer's input the graph has no shape arithmetic: what a layer needs, and what comes before."""
    _, _, lowered = each
    nodes = list(lowered.model.graph)
    start = next(i for i, node in enumerate(nodes) if node.name == lowered.linears[-4].nodes[0])  # the last layer
    kinds = {node.op_type for node in nodes[start:]}
    assert kinds <= {*PLAIN, "Gelu", "FastGelu", "Where"}
    assert sum(node.op_type == "Where" for node in nodes[start:]) <= 1  # DistilBERT's mask
    assert len(nodes[start:]) <= 27


def test_the_table_of_words_is_found(each):
    name, _, lowered = each
    width = 16 if name.startswith(("albert", "electra")) else HIDDEN
    assert (VOCABULARY, width) in [embedding.table.shape for embedding in lowered.embeddings]


def test_what_comes_out_is_onnx(each):
    _, model, lowered = each
    before, after = (graph.opset_imports[""] for graph in (model.graph, lowered.model.graph))
    assert after == max(before, 17)  # LayerNormalization's
    assert lowered.model.ir_version <= 13  # onnxruntime 1.30 reads no newer
    onnx.checker.check_model(ir.to_proto(lowered.model))
