from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests import models
from tests.graphs import graph, integers, lookup, node, operators, run, serialized
from toolkit.errors import NumericsError
from toolkit.lower import Lowered, lower
from toolkit.sources import Source, open_source


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return open_source(str(models.tiny_bert(tmp_path_factory.mktemp("models") / "bert")))


@pytest.fixture(scope="module")
def lowered(bert: Source) -> Lowered:
    return lower(bert.model)


def test_outputs_stay_the_same(bert, lowered):
    feed = models.feed(bert, models.TEXTS)
    before, after = run(bert.model, feed)[bert.output], run(lowered.model, feed)[bert.output]
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-6)


def test_the_models_own_graph_is_left_as_it_was(bert):
    before = serialized(bert.model)
    lower(bert.model)
    assert serialized(bert.model) == before


def test_the_same_model_gives_the_same_bytes(bert, lowered):
    assert serialized(lower(bert.model).model) == serialized(lowered.model)


def test_every_layer_with_weights_is_named(lowered):
    shapes = sorted(linear.weight.shape for linear in lowered.linears)
    assert shapes == sorted([(32, 96), (32, 32), (32, 64), (64, 32)] * 2)  # Q, K and V are one
    assert all(linear.bias is not None for linear in lowered.linears)
    names = [linear.name for linear in lowered.linears]
    assert len(set(names)) == len(names)


def test_no_two_layers_share_an_input(lowered):
    inputs = [linear.input for linear in lowered.linears]
    assert len(set(inputs)) == len(inputs)


def test_names_are_of_the_lowered_graph(lowered):
    nodes = {each.name for each in lowered.model.graph}
    values = {value.name for each in lowered.model.graph for value in each.outputs}
    for linear in lowered.linears:
        assert {*linear.nodes} <= nodes
        assert {linear.input, linear.output} <= values
    for embedding in lowered.embeddings:
        assert embedding.node in nodes
        assert embedding.output in values


def test_the_word_table_is_found(lowered):
    assert (28, 32) in [embedding.table.shape for embedding in lowered.embeddings]


def test_what_stays_float_says_why(lowered):
    attention = [line for line in lowered.unquantized if line.endswith("both factors are activations")]
    assert len(attention) == operators(lowered.model).count("MatMul") - len(lowered.linears)
    assert attention


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_refused_by_name(bad):
    weight = integers(0, 4, 3)
    weight[1, 2] = bad
    with pytest.raises(NumericsError, match=r"weight of n\.y\n  got: 1 of 12"):
        lower(graph([node("MatMul", ["x", "w"], "y")], {"w": weight}))
    with pytest.raises(NumericsError, match="where: table"):
        lower(lookup(np.full((3, 4), bad, np.float32), integers(0, 4, 3)))


def test_a_graph_without_layers():
    found = lower(graph([node("Relu", ["x"], "y")], {}))
    assert (found.linears, found.embeddings, found.unquantized) == ((), (), ())


def test_nodes_without_names_get_some():
    nodes = [node("MatMul", ["x", "w"], "p"), node("MatMul", ["x", "v"], "q"), node("Add", ["p", "q"], "y")]
    for each in nodes:
        each.name = ""
    model = graph(nodes, {"w": integers(0, 4, 3), "v": integers(1, 4, 3)})
    (linear,) = lower(model).linears
    assert linear.name
    assert linear.weight.shape == (4, 6)


def test_branches_that_pass_on_a_value_from_outside():
    def branch(name: str) -> onnx.GraphProto:
        given = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([node("Identity", ["c"], name)], name, [], [given])

    nodes = [
        node("Cast", ["x"], "c", to=TensorProto.FLOAT),
        node("ReduceSum", ["x"], "s", keepdims=0),
        node("Greater", ["s", "zero"], "large"),
        node("If", ["large"], "chosen", then_branch=branch("a"), else_branch=branch("b")),
        node("Neg", ["chosen"], "y"),
    ]
    model = graph(nodes, {"zero": np.array(0, np.float32)})
    x = integers(0, 5, 4)
    np.testing.assert_array_equal(run(lower(model).model, {"x": x})["y"], -x)


def test_a_layer_of_another_kind_of_model(tmp_path: Path):
    source = open_source(str(models.tiny_bert(tmp_path / "head", head="classifier")))
    found = lower(source.model)
    assert [linear.weight.shape for linear in found.linears][-2:] == [(32, 32), (32, 3)]
    feed = models.feed(source, models.TEXTS)
    np.testing.assert_allclose(
        run(found.model, feed)[source.output], run(source.model, feed)[source.output], rtol=0, atol=2e-6
    )
