import numpy as np
import onnx_ir as ir
import pytest

from tests import models
from tests.graphs import graph, integers, node, operators, run
from toolkit.lower import lower
from toolkit.lower.first_token import KeepFirstToken
from toolkit.sources import SourceOptions, open_source

X = integers(9, 3, 5, 4)
W = {"w": integers(0, 4, 6), "first": np.array(0), "axis": np.array([1]), "zero": np.array([0]), "one": np.array([1])}
NAMES = ["batch", "length", 4]


def narrow(model: ir.Model) -> bool:
    return bool(KeepFirstToken()(model).modified)


def with_shapes(model: ir.Model, **shapes: list[str | int]) -> ir.Model:
    for value in (value for one in model.graph for value in one.outputs):
        if value.name in shapes:
            value.shape = ir.Shape(shapes[value.name])
    return model


def chain(*nodes, **shapes) -> ir.Model:
    """Return ``nodes`` from x [batch, length, 4] to y, the first token of what they make."""
    made = graph([*nodes, node("Gather", ["last", "first"], "y", axis=1)], W, {"x": NAMES})
    return with_shapes(made, **{"last": ["batch", "length", 6]} | shapes)


def test_what_comes_before_the_first_token_is_computed_for_it_alone():
    model = chain(
        node("MatMul", ["x", "w"], "product"), node("Relu", ["product"], "last"), product=["batch", "length", 6]
    )
    before = run(model, {"x": X})["y"]
    assert narrow(model)
    assert operators(model) == ["Slice", "MatMul", "Relu", "Gather"]
    np.testing.assert_array_equal(run(model, {"x": X})["y"], before)
    assert [str(size) for size in model.graph.node("n.product").outputs[0].shape] == ["batch", "1", "6"]
    assert not narrow(model)


def test_a_slice_of_one_token_is_a_first_token_too():
    model = graph(
        [node("MatMul", ["x", "w"], "last"), node("Slice", ["last", "zero", "one", "axis"], "y")], W, {"x": NAMES}
    )
    with_shapes(model, last=["batch", "length", 6])
    before = run(model, {"x": X})["y"]
    assert narrow(model)
    np.testing.assert_array_equal(run(model, {"x": X})["y"], before)


@pytest.mark.parametrize(
    ("nodes", "shapes"),
    [
        ([node("MatMul", ["x", "w"], "last")], {"last": None}),
        ([node("MatMul", ["x", "w"], "z"), node("Softmax", ["z"], "last", axis=1)], {"z": ["batch", "length", 6]}),
        ([node("MatMul", ["x", "w"], "z"), node("CumSum", ["z", "one"], "last")], {"z": ["batch", "length", 6]}),
    ],
    ids=["unknown shape", "over tokens", "unknown operator"],
)
def test_what_mixes_tokens_stays(nodes, shapes):
    model = chain(*nodes)
    for value in (value for one in model.graph for value in one.outputs):
        if value.name in shapes:
            value.shape = None if shapes[value.name] is None else ir.Shape(shapes[value.name])
    assert not narrow(model)


def test_what_others_read_whole_stays():
    nodes = [node("MatMul", ["x", "w"], "last"), node("Gather", ["last", "first"], "y", axis=1)]
    model = graph([*nodes, node("Relu", ["last"], "z")], W, {"x": NAMES}, outputs=("y", "z"))
    assert not narrow(with_shapes(model, last=["batch", "length", 6]))


def test_other_tokens_stay():
    model = chain(node("MatMul", ["x", "w"], "last"))
    model.graph.initializers["first"].const_value = ir.tensor(np.array(1))
    assert not narrow(model)


def test_where_no_layer_is_saved_nothing_is_cut():
    assert not narrow(with_shapes(chain(node("Relu", ["x"], "last")), last=NAMES))


def source_of(folder, head):
    options = SourceOptions(task="embedding", pooling="cls") if head == "cls" else SourceOptions()
    return open_source(str(models.tiny_bert(folder, head=None if head in ("cls", "mean") else head)), options)


@pytest.mark.parametrize("head", ["classifier", "reranker", "cls"])
def test_the_last_layer_of_an_encoder(tmp_path, head):
    source = source_of(tmp_path / "model", head)
    lowered = lower(source.model)
    feed = models.feed(source, models.TEXTS)
    expected, found = (run(model, feed)[source.output] for model in (source.model, lowered.model))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    short = [linear.name for linear in lowered.linears if "layer.1" in linear.name and ".first." in linear.input]
    assert short == ["encoder.layer.1.attention.self.query/MatMul"]
    shapes = {str(one.name): one.outputs[0].shape for one in lowered.model.graph}
    assert str(shapes["encoder.layer.1.output.dense/MatMul"][1]) == "1"
    assert str(shapes["encoder.layer.0.output.dense/MatMul"][1]) == "sequence"


@pytest.mark.parametrize("head", ["tokens", "mean"])
def test_models_that_read_every_token_stay_whole(tmp_path, head):
    lowered = lower(source_of(tmp_path / "model", head).model)
    assert not [linear.name for linear in lowered.linears if ".first." in linear.input]
