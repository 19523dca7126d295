from math import pi, sqrt

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxscript.rewriter import RewritePass

from tests.graphs import graph, node, operators, run
from toolkit.lower.rules import gelu

X = np.linspace(-6, 6, 40, dtype=np.float32).reshape(10, 4)
CONSTANTS = {
    "root": np.array(sqrt(2), np.float32),
    "one": np.array(1, np.float32),
    "half": np.array([0.5], np.float32),
    "two": np.array(2, np.float32),
    "three": np.array(3, np.float32),
    "small": np.array(0.044715, np.float32),
    "scale": np.array(sqrt(2 / pi), np.float32),
}
# How x, the gate (g) and ½ are multiplied.
ORDERS = {
    "last": [node("Mul", ["x", "g"], "m"), node("Mul", ["half", "m"], "y")],
    "first": [node("Mul", ["x", "half"], "m"), node("Mul", ["g", "m"], "y")],
    "gate": [node("Mul", ["half", "g"], "m"), node("Mul", ["m", "x"], "y")],
    "divided": [node("Div", ["x", "two"], "m"), node("Mul", ["m", "g"], "y")],
}
INNER = {
    "div": [node("Div", ["x", "root"], "i"), node("Erf", ["i"], "f")],
    "mul": [node("Mul", ["x", "inverse"], "i"), node("Erf", ["i"], "f")],
    "pow": [
        node("Pow", ["x", "three"], "c"),
        node("Mul", ["small", "c"], "s"),
        node("Add", ["x", "s"], "t"),
        node("Mul", ["t", "scale"], "i"),
        node("Tanh", ["i"], "f"),
    ],
    "cube": [
        node("Mul", ["x", "x"], "xx"),
        node("Mul", ["xx", "x"], "c"),
        node("Mul", ["c", "small"], "s"),
        node("Add", ["s", "x"], "t"),
        node("Mul", ["scale", "t"], "i"),
        node("Tanh", ["i"], "f"),
    ],
    "fast": [  # x·√(2/π)·(1 + 0.044715·x·x)
        node("Mul", ["x", "scale"], "r"),
        node("Mul", ["x", "small"], "s"),
        node("Mul", ["s", "x"], "t"),
        node("Add", ["t", "one"], "u"),
        node("Mul", ["r", "u"], "i"),
        node("Tanh", ["i"], "f"),
    ],
}


def written_out(inner, order, opset=20, outputs=("y",), **changed):
    nodes = [*INNER[inner], node("Add", ["f", "one"], "g"), *ORDERS[order]]
    constants = CONSTANTS | {"inverse": np.array(sqrt(0.5), np.float32)} | changed
    return graph(nodes, constants, opset=opset, outputs=outputs)


def rewrite(model):
    return RewritePass((gelu.RULE,))(model).modified


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("opset", [13, 20])
def test_every_way_to_write_it_becomes_one_node(inner, order, opset):
    model = written_out(inner, order, opset)
    before = run(model, {"x": X})["y"]
    assert rewrite(model)
    assert ("Gelu" if inner in ("div", "mul") else "FastGelu") in operators(model)
    np.testing.assert_allclose(run(model, {"x": X})["y"], before, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("inner", "name", "other"),
    [
        ("div", "root", 1.41),
        ("div", "root", -sqrt(2)),
        ("mul", "inverse", 1.702),
        ("div", "one", 1.001),
        ("div", "half", 0.49),
        ("pow", "small", 0.0445),
        ("pow", "three", 2),
        ("pow", "scale", 0.8),
        ("fast", "small", 0.05),
    ],
)
def test_other_constants_are_other_functions(inner, name, other):
    model = written_out(inner, "last", **{name: np.array(other, np.float32)})
    assert not rewrite(model)


def test_constants_that_were_rounded_to_float16_will_do():
    assert rewrite(written_out("div", "last", root=np.array(np.float16(sqrt(2)), np.float32)))


def test_what_else_is_used_inside_stays():
    model = written_out("div", "last", outputs=("y", "g"))
    before = run(model, {"x": X})
    rewrite(model)
    after = run(model, {"x": X})
    for name, expected in before.items():
        np.testing.assert_allclose(after[name], expected, rtol=0, atol=1e-6)


def test_another_variable_inside_is_another_function():
    nodes = [
        *INNER["div"],
        node("Add", ["f", "one"], "g"),
        node("Mul", ["z", "g"], "m"),
        node("Mul", ["m", "half"], "y"),
    ]
    model = graph(nodes, CONSTANTS, {"x": ["rows", 4], "z": ["rows", 4]})
    assert not rewrite(model)


def test_in_double_it_stays():
    model = written_out("div", "last")
    assert model.graph.inputs[0].dtype == ir.DataType.FLOAT
    model.graph.inputs[0].dtype = ir.DataType.DOUBLE
    assert not rewrite(model)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 4).filter(lambda value: abs(value / sqrt(2) - 1) > 1e-3))
def test_no_other_root_is_taken_for_it(root):
    assert not rewrite(written_out("div", "first", root=np.array(root, np.float32)))
