import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.graphs import graph, integers, node, run
from toolkit.lower import lower

ROWS = {"x": ["batch", "length", 32]}
CUBE = integers(0, 2, 32, 32)


@pytest.mark.parametrize(
    ("nodes", "constants", "reason"),
    [
        ([node("MatMul", ["x", "w"], "y")], {"w": CUBE}, "its weight has 3 axes"),
        ([node("MatMul", ["w", "x"], "y")], {"w": CUBE[0]}, "its constant comes first"),
        ([node("MatMul", ["x", "x"], "y")], {}, "both factors are activations"),
        ([node("Einsum", ["x", "w"], "y", equation="bsh,ho->bso")], {"w": CUBE[0]}, "Einsum is not made int8"),
    ],
)
def test_each_has_its_own_reason(nodes, constants, reason):
    found = lower(graph(nodes, constants, {"x": [2, 32, 32]}))
    assert found.unquantized == (f"n.y: {reason}",)
    assert found.linears == ()


def test_a_weight_of_another_type():
    value = helper.make_tensor_value_info
    weight = numpy_helper.from_array(CUBE[0].astype(np.float64), "w")
    inputs, outputs = [value("x", TensorProto.DOUBLE, [2, 32])], [value("y", TensorProto.DOUBLE, None)]
    proto = helper.make_model(helper.make_graph([node("MatMul", ["x", "w"], "y")], "test", inputs, outputs, [weight]))
    assert lower(ir.from_proto(proto)).unquantized == ("n.y: its weight is float64",)


def test_a_weight_that_is_an_input_too():
    model = graph([node("MatMul", ["x", "w"], "y")], {"w": CUBE[0]}, ROWS)
    model.graph.inputs.append(model.graph.initializers["w"])
    found = lower(model)
    assert found.unquantized == ("n.y: its weight is an input of the model too",)
    assert found.linears == ()


def test_a_layer_in_a_branch_runs_as_before():
    def branch(weight: str) -> onnx.GraphProto:
        inner = [node("MatMul", ["x", weight], f"in.{weight}")]
        held = [numpy_helper.from_array(CUBE[0], "own")] if weight == "own" else []
        given = [helper.make_tensor_value_info(f"in.{weight}", TensorProto.FLOAT, None)]
        return helper.make_graph(inner, weight, [], given, held)

    nodes = [
        node("ReduceSum", ["x"], "total", keepdims=0),
        node("Greater", ["total", "zero"], "large"),
        node("If", ["large"], "y", then_branch=branch("own"), else_branch=branch("outer")),
    ]
    constants = {"outer": CUBE[1], "zero": np.array(0, np.float32)}
    model = graph(nodes, constants, ROWS)
    found = lower(model)
    assert found.linears == ()
    assert {*found.unquantized} == {
        "n.in.own: it is in the body of a branch or a loop",
        "n.in.outer: it is in the body of a branch or a loop",
    }
    for sign in (1, -1):
        x = sign * np.abs(integers(3, 1, 2, 32))
        np.testing.assert_array_equal(run(found.model, {"x": x})["y"], run(model, {"x": x})["y"])
