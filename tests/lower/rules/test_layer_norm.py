import numpy as np
import pytest
from onnxscript.rewriter import RewritePass

from tests.graphs import graph, node, operators, run
from toolkit.lower import lower
from toolkit.lower.rules import layer_norm
from toolkit.lower.shapes import InferShapes

RNG = np.random.default_rng(0)
X = RNG.normal(1, 3, (6, 4)).astype(np.float32)
CONSTANTS = {
    "scale": RNG.normal(1, 0.2, 4).astype(np.float32),
    "bias": RNG.normal(0, 1, 4).astype(np.float32),
    "epsilon": np.array(1e-12, np.float32),
    "two": np.array(2, np.float32),
    "last": np.array([-1]),
}


def mean(source, output, opset, axis=-1, **attributes):
    if opset < 18:
        return node("ReduceMean", [source], output, axes=[axis], **attributes)
    return node("ReduceMean", [source, "last"], output, **attributes)


def written_out(power=True, divides=True, opset=13, axis=-1, outputs=("y",), **changed):
    nodes = [
        mean("x", "mean", opset, axis),
        node("Sub", ["x", "mean"], "off"),
        node("Pow", ["off", "two"], "square") if power else node("Mul", ["off", "off"], "square"),
        mean("square", "variance", opset, axis),
        node("Add", ["epsilon", "variance"], "sum"),
        node("Sqrt", ["sum"], "deviation"),
        *(
            [node("Div", ["off", "deviation"], "unit")]
            if divides
            else [node("Reciprocal", ["deviation"], "inverse"), node("Mul", ["inverse", "off"], "unit")]
        ),
        node("Mul", ["scale", "unit"], "scaled"),
        node("Add", ["scaled", "bias"], "y"),
    ]
    return graph(nodes, CONSTANTS | changed, opset=opset, outputs=outputs)


def rewrite(model):
    return RewritePass(layer_norm.RULES)(model).modified


@pytest.mark.parametrize("power", [True, False])
@pytest.mark.parametrize("divides", [True, False])
@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_every_way_to_write_it_becomes_one_node(power, divides, opset):
    model = written_out(power, divides, opset)
    before = run(model, {"x": X})["y"]
    assert rewrite(model)
    assert operators(model) == ["LayerNormalization"]
    np.testing.assert_allclose(run(model, {"x": X})["y"], before, rtol=0, atol=1e-5)
    (found,) = model.graph
    assert found.attributes["epsilon"].value == pytest.approx(1e-12)


def test_the_last_axis_by_its_number():
    model = written_out(axis=1)
    assert not rewrite(model)  # of an unknown rank it may be any
    InferShapes()(model)
    assert rewrite(model)


@pytest.mark.parametrize(
    "changed",
    [
        {"two": np.array(3, np.float32)},
        {"scale": np.ones((6, 4), np.float32)},
        {"scale": np.ones(1, np.float32)},
        {"epsilon": np.array(-1, np.float32)},
    ],
)
def test_other_constants_are_other_functions(changed):
    assert not rewrite(written_out(**changed))


def test_another_axis_is_another_function():
    assert not rewrite(written_out(axis=0))


def test_what_something_else_sees_stays():
    for seen in ("off", "variance", "unit"):
        model = written_out(outputs=("y", seen))
        before = run(model, {"x": X})
        rewrite(model)
        after = run(model, {"x": X})
        for name, expected in before.items():
            np.testing.assert_allclose(after[name], expected, rtol=0, atol=1e-5)


def test_a_residual_is_no_bias():
    nodes = [node("LayerNormalization", ["x", "scale"], "unit"), node("Add", ["unit", "x"], "y")]
    assert not rewrite(graph(nodes, CONSTANTS))


def test_a_bias_of_another_length_is_none():
    nodes = [node("LayerNormalization", ["x", "scale"], "unit"), node("Add", ["unit", "number"], "y")]
    assert not rewrite(graph(nodes, CONSTANTS | {"number": np.array([1], np.float32)}))


def test_the_smallest_epsilon_is_kept_through_all_passes():
    lowered = lower(written_out(opset=18))
    constant_row = np.full((2, 4), 3, np.float32)  # its variance is 0: without epsilon it would be divided by 0
    found = run(lowered.model, {"x": constant_row})["y"]
    np.testing.assert_allclose(found, np.stack([CONSTANTS["bias"]] * 2), rtol=0, atol=1e-6)
