import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.graphs import graph, integers, node, run
from toolkit.errors import NumericsError
from toolkit.lower.constants import constant
from toolkit.lower.linear import Linear, find_linears

W = integers(1, 4, 3)
B = integers(2, 3)
X = integers(3, 5, 4)
PRODUCT = node("MatMul", ["x", "w"], "p")


def check(model: ir.Model, linear: Linear) -> None:
    """Hold the linear layer's words against what the graph computes."""
    found = X @ linear.weight + (0 if linear.bias is None else linear.bias)
    np.testing.assert_array_equal(run(model, {"x": X})[linear.output], found)


def only(model: ir.Model) -> Linear:
    (linear,) = find_linears(model.graph)
    return linear


def test_matmul():
    model = graph([node("MatMul", ["x", "w"], "y")], {"w": W})
    linear = only(model)
    assert (linear.name, linear.input, linear.output, linear.nodes) == ("n.y", "x", "y", ("n.y",))
    assert linear.bias is None
    check(model, linear)


@pytest.mark.parametrize("inputs", [["p", "b"], ["b", "p"]])
@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_matmul_and_add(inputs, shape):
    model = graph([PRODUCT, node("Add", inputs, "y")], {"w": W, "b": B.reshape(shape)})
    linear = only(model)
    assert (linear.name, linear.input, linear.output, linear.nodes) == ("n.p", "x", "y", ("n.p", "n.y"))
    assert linear.bias.shape == (3,)
    check(model, linear)


@pytest.mark.parametrize(
    "bias",
    [
        np.float32(2),  # one number for all columns
        integers(4, 1),
        integers(4, 5, 3),  # another row for each row of x
        integers(4, 5, 1),  # one number a row
        integers(4, 1, 1, 3),  # a third axis that the product does not have
    ],
    ids=lambda bias: str(bias.shape),
)
def test_what_is_added_is_no_bias(bias):
    model = graph([PRODUCT, node("Add", ["p", "b"], "y")], {"w": W, "b": np.asarray(bias)})
    linear = only(model)
    assert (linear.output, linear.bias, linear.nodes) == ("p", None, ("n.p",))


def test_a_number_for_a_single_column_is_no_row():
    model = graph([PRODUCT, node("Add", ["p", "b"], "y")], {"w": W[:, :1], "b": np.float32([[1], [2], [3], [4], [5]])})
    assert only(model).bias is None


def test_something_computed_is_no_bias():
    model = graph([PRODUCT, node("Add", ["p", "x"], "y")], {"w": integers(1, 4, 4)})
    assert (only(model).output, only(model).bias) == ("p", None)


def test_a_product_added_to_itself_has_no_bias():
    model = graph([PRODUCT, node("Add", ["p", "p"], "y")], {"w": W})
    assert (only(model).output, only(model).bias) == ("p", None)


def test_the_sum_is_not_the_layers_where_something_else_needs_the_product():
    nodes = [PRODUCT, node("Add", ["p", "b"], "y"), node("Relu", ["p"], "z")]
    assert only(graph(nodes, {"w": W, "b": B}, outputs=["y", "z"])).output == "p"
    assert only(graph(nodes[:2], {"w": W, "b": B}, outputs=["y", "p"])).output == "p"


def test_another_node_than_add_is_no_bias():
    assert only(graph([PRODUCT, node("Sub", ["p", "b"], "y")], {"w": W, "b": B})).output == "p"


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, B, B.reshape(1, 3)], ids=["none", "row", "matrix"])
def test_gemm(transposed, bias):
    inputs = ["x", "w"] + ([] if bias is None else ["b"])
    constants = {"w": W.T.copy() if transposed else W} | ({} if bias is None else {"b": bias})
    model = graph([node("Gemm", inputs, "y", transB=transposed)], constants)
    linear = only(model)
    assert linear.weight.shape == (4, 3)
    assert linear.weight.flags.c_contiguous
    assert (linear.output, linear.nodes) == ("y", ("n.y",))
    assert (linear.bias is None) is (bias is None)
    check(model, linear)


def test_gemm_is_not_transposed_unless_it_says_so():
    square = integers(1, 4, 4)
    model = graph([node("Gemm", ["x", "w"], "y")], {"w": square})
    np.testing.assert_array_equal(only(model).weight, square)
    check(model, only(model))


@pytest.mark.parametrize("attributes", [{"alpha": 2.0}, {"beta": 0.5}, {"transA": 1}], ids=str)
def test_gemm_that_is_more_than_a_linear_layer(attributes):
    assert find_linears(graph([node("Gemm", ["x", "w", "b"], "y", **attributes)], {"w": W, "b": B}).graph) == ()


@pytest.mark.parametrize(
    "bias", [np.float32(1), integers(1, 5, 3), integers(1, 5, 1)], ids=lambda bias: str(bias.shape)
)
def test_gemm_whose_third_factor_is_no_row(bias):
    model = graph([node("Gemm", ["x", "w", "b"], "y")], {"w": W, "b": np.asarray(bias)})
    assert find_linears(model.graph) == ()


def test_gemm_with_a_computed_bias():
    nodes = [node("Relu", ["x"], "r"), node("Gemm", ["x", "w", "r"], "y")]
    assert find_linears(graph(nodes, {"w": integers(1, 4, 4)}).graph) == ()


def test_one_weight_in_two_layers():
    nodes = [node("MatMul", ["x", "w"], "p"), node("Relu", ["p"], "r"), node("MatMul", ["r", "w"], "y")]
    first, second = find_linears(graph(nodes, {"w": integers(1, 4, 4)}).graph)
    assert (first.name, first.input, second.name, second.input) == ("n.p", "x", "n.y", "r")
    np.testing.assert_array_equal(first.weight, second.weight)


def test_what_is_no_constant_matrix_on_the_right_is_no_linear_layer():
    def none_in(nodes: list, constants: dict) -> bool:
        return find_linears(graph(nodes, constants).graph) == ()

    assert none_in([node("MatMul", ["w", "x"], "y")], {"w": integers(1, 3, 4)})
    assert none_in([node("MatMul", ["x", "w"], "y")], {"w": integers(1, 2, 4, 3)})
    assert none_in([node("MatMul", ["x", "w"], "y")], {"w": integers(1, 4)})
    assert none_in([node("Transpose", ["x"], "t"), node("MatMul", ["x", "t"], "y")], {})


def test_a_weight_that_the_caller_may_replace_is_no_constant():
    model = graph([node("MatMul", ["x", "w"], "y")], {"w": W}, {"x": ["rows", 4], "w": [4, 3]})
    assert find_linears(model.graph) == ()
    assert constant(None) is None


def test_a_weight_in_a_constant_node():
    weight = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W))
    model = graph([weight, node("MatMul", ["x", "w"], "y")], {})
    check(model, only(model))


def test_half_precision_is_left_alone():
    nodes = [node("Cast", ["x"], "h", to=10), node("MatMul", ["h", "w"], "p"), node("Cast", ["p"], "y", to=1)]
    assert find_linears(graph(nodes, {"w": W.astype(np.float16)}).graph) == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["weight", "bias"])
def test_what_is_not_finite_is_refused_by_name(bad, where):
    weight, bias = W.copy(), B.copy()
    {"weight": weight, "bias": bias}[where].flat[1] = bad
    model = graph([PRODUCT, node("Add", ["p", "b"], "y")], {"w": weight, "b": bias})
    with pytest.raises(
        NumericsError, match=rf"a weight is not finite\n  where: {where} of n\.p\n  got: 1 of "
    ) as raised:
        find_linears(model.graph)
    assert raised.value.exit_code == 1
