import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.graphs import graph, node
from toolkit.lower.rules.opset import RaiseOpset

NORM = node("LayerNormalization", ["x", "s"], "y")
SCALE = {"s": np.ones(4, np.float32)}


@pytest.mark.parametrize(("opset", "expected"), [(12, 12), (13, 17), (16, 17), (17, 17), (20, 20)])
def test_it_is_raised_to_what_the_operator_asks_for(opset, expected):
    model = graph([NORM], SCALE, opset=opset)
    model.ir_version = 7
    assert RaiseOpset()(model).modified == (opset != expected)
    assert model.opset_imports[""] == expected
    if expected == 17 != opset:
        model.graph.outputs[0].shape = ir.Shape(["rows", 4])
        onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_without_the_operator_it_stays():
    assert not RaiseOpset()(graph([node("Neg", ["x"], "y")], {}, opset=13)).modified


def test_an_operator_that_changed_keeps_it_where_it_is():
    names = ["a", "b", "c", "d"]
    nodes = [node("BatchNormalization", ["y", *names], "z"), NORM]
    model = graph(nodes, SCALE | dict.fromkeys(names, np.ones(4, np.float32)), opset=13)
    assert not RaiseOpset()(model).modified
