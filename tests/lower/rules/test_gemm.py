import numpy as np
import pytest
from onnxscript.rewriter import RewritePass

from tests.graphs import graph, integers, node, operators, run
from toolkit.lower.linear import find_linears
from toolkit.lower.rules import gemm

WEIGHT, BIAS, X = integers(0, 4, 3), integers(1, 3), integers(2, 5, 4)


def of(bias=BIAS, weight=WEIGHT, x=("rows", 4), **attributes):
    constants = {"w": weight} | ({} if bias is None else {"b": bias})
    return graph([node("Gemm", ["x", *constants], "y", **attributes)], constants, {"x": x})


def rewrite(model):
    return RewritePass((gemm.RULE,))(model).modified


@pytest.mark.parametrize("bias", [None, BIAS, BIAS[None], integers(3, 1), integers(3, 1)[0]])
@pytest.mark.parametrize("attributes", [{"alpha": 0.5}, {"alpha": 2.0, "beta": 0.25}, {"beta": 4.0, "alpha": 1.5}])
def test_factors_go_into_the_constants(bias, attributes):
    model = of(bias, **attributes)
    before = run(model, {"x": X})["y"]
    assert rewrite(model)
    np.testing.assert_array_equal(run(model, {"x": X})["y"], before)
    (linear,) = find_linears(model.graph)
    np.testing.assert_array_equal(linear.weight, WEIGHT * np.float32(attributes["alpha"]))


def test_a_transposed_weight_and_a_transposed_input():
    model = of(weight=np.ascontiguousarray(WEIGHT.T), x=(4, "rows"), transA=1, transB=1)
    before = run(model, {"x": np.ascontiguousarray(X.T)})["y"]
    assert rewrite(model)
    np.testing.assert_array_equal(run(model, {"x": np.ascontiguousarray(X.T)})["y"], before)
    assert operators(model) == ["Transpose", "Gemm"]
    assert len(find_linears(model.graph)) == 1


def test_a_bias_that_is_no_row_stands_outside():
    model = of(integers(3, 5, 1), beta=2.0)
    before = run(model, {"x": X})["y"]
    assert rewrite(model)
    np.testing.assert_array_equal(run(model, {"x": X})["y"], before)
    assert len(find_linears(model.graph)) == 1


def test_a_bias_that_is_computed_stands_outside():
    nodes = [node("ReduceSum", ["x"], "c"), node("Gemm", ["x", "w", "c"], "y", beta=2.0)]
    model = graph(nodes, {"w": WEIGHT})
    before = run(model, {"x": X})["y"]
    assert rewrite(model)
    np.testing.assert_array_equal(run(model, {"x": X})["y"], before)
    assert len(find_linears(model.graph)) == 1


@pytest.mark.parametrize("attributes", [{}, {"transB": 1}])
def test_a_plain_one_is_left_alone(attributes):
    weight = np.ascontiguousarray(WEIGHT.T) if attributes else WEIGHT
    assert not rewrite(of(weight=weight, **attributes))


def test_two_activations_are_left_alone():
    assert not rewrite(graph([node("Gemm", ["x", "x"], "y", transB=1, alpha=2.0)], {}))
