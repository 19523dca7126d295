import numpy as np
import pytest

from tests.graphs import graph, integers, node, operators, run
from toolkit.lower.rules.scale import FoldScale

X = integers(9, 5, 4)
CONSTANTS = {
    "w": integers(0, 4, 4),
    "b": integers(1, 4),
    "v": integers(2, 4, 4),
    "eight": np.array(8, np.float32),
    "quarter": np.array([0.25], np.float32),
    "shape": np.array([-1, 2, 2]),
}
LAYER = [node("MatMul", ["x", "w"], "p"), node("Add", ["b", "p"], "q")]


def fold(nodes, outputs=("y",), **constants):
    """Fold, and hold the results to what they were: whole numbers and powers of two are exact in any order."""
    model = graph(nodes, CONSTANTS | constants, outputs=outputs)
    before = run(model, {"x": X})
    modified = FoldScale()(model).modified
    after = run(model, {"x": X})
    for name, expected in before.items():
        np.testing.assert_array_equal(after[name], expected)
    return modified, operators(model)


def test_into_weight_and_bias():
    modified, left = fold([*LAYER, node("Div", ["q", "eight"], "s"), node("Relu", ["s"], "y")])
    assert modified
    assert left == ["MatMul", "Add", "Relu"]


def test_into_a_gemm():
    nodes = [node("Gemm", ["x", "w", "b"], "q"), node("Mul", ["quarter", "q"], "s"), node("Relu", ["s"], "y")]
    assert fold(nodes) == (True, ["Gemm", "Relu"])


def test_through_reshape_and_transpose_and_another_scale():
    nodes = [
        *LAYER,
        node("Reshape", ["q", "shape"], "r"),
        node("Transpose", ["r"], "t", perm=[1, 0, 2]),
        node("Mul", ["t", "quarter"], "s"),
        node("Div", ["s", "eight"], "u"),
        node("Relu", ["u"], "y"),
    ]
    assert fold(nodes) == (True, ["MatMul", "Add", "Reshape", "Transpose", "Relu"])


def test_scores_scale_the_query():
    nodes = [
        *LAYER,
        node("MatMul", ["x", "v"], "k"),
        node("Transpose", ["k"], "t"),
        node("MatMul", ["q", "t"], "scores"),
        node("Div", ["scores", "eight"], "s"),
        node("Relu", ["s"], "y"),
    ]
    assert fold(nodes) == (True, ["MatMul", "Add", "MatMul", "Transpose", "MatMul", "Relu"])


def test_scores_of_a_query_that_is_no_layer_scale_the_key():
    nodes = [
        node("MatMul", ["x", "v"], "k"),
        node("Transpose", ["k"], "t"),
        node("MatMul", ["x", "t"], "scores"),
        node("Mul", ["scores", "quarter"], "s"),
        node("Relu", ["s"], "y"),
    ]
    assert fold(nodes) == (True, ["MatMul", "Transpose", "MatMul", "Relu"])


@pytest.mark.parametrize("seen", ["p", "q", "r"])
def test_what_something_else_sees_is_left_alone(seen):
    nodes = [
        *LAYER,
        node("Reshape", ["q", "shape"], "r"),
        node("Mul", ["r", "quarter"], "s"),
        node("Relu", ["s"], "y"),
    ]
    assert not fold(nodes, ("y", seen))[0]
    assert not fold([*nodes, node("Neg", [seen], "z")], ("y", "z"))[0]


def test_a_scale_that_is_an_output_is_left_alone():
    assert not fold([*LAYER, node("Mul", ["q", "quarter"], "y")])[0]


@pytest.mark.parametrize("factor", [np.array([1, 2, 1, 2], np.float32), np.array(0, np.float32)])
def test_no_number_and_zero_are_left_alone(factor):
    assert not fold([*LAYER, node("Mul", ["q", "factor"], "s"), node("Relu", ["s"], "y")], factor=factor)[0]


def test_a_number_divided_by_a_layer_is_left_alone():
    nodes = [*LAYER, node("Div", ["eight", "q"], "s"), node("Relu", ["s"], "y")]
    model = graph(nodes, CONSTANTS)
    assert not FoldScale()(model).modified


def test_after_a_function_it_is_left_alone():
    assert not fold([*LAYER, node("Relu", ["q"], "f"), node("Mul", ["f", "quarter"], "s"), node("Neg", ["s"], "y")])[0]


def test_shared_weights_are_scaled_once():
    nodes = [
        node("MatMul", ["x", "w"], "p"),
        node("Mul", ["p", "quarter"], "s"),
        node("MatMul", ["s", "w"], "q"),
        node("Mul", ["q", "quarter"], "t"),
        node("Relu", ["t"], "y"),
    ]
    model = graph(nodes, CONSTANTS)
    assert FoldScale()(model).modified
    assert sum("scaled" in name for name in model.graph.initializers) == 1
