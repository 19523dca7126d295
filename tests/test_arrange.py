import numpy as np
import onnx_ir as ir
import pytest

from tests import models
from tests.graphs import graph, node, run
from toolkit.arrange import arrange
from toolkit.feeds import equal_length_feeds
from toolkit.lower import Lowered, lower
from toolkit.observe import Ranges, observe
from toolkit.sources import open_source


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


X = normal(9, 50, 4)
HELD = {"a": normal(1, 4, 12), "c": normal(2, 12), "b": normal(3, 12, 5), "half": np.array(0.5, np.float32)}
UP = [node("MatMul", ["x", "a"], "p"), node("Add", ["p", "c"], "h")]


def arranged(model: ir.Model) -> tuple[Lowered, Lowered, Ranges]:
    before = lower(model)
    return before, *arrange(before, observe(before, [{"x": X}]))


def peaks(ranges: Ranges, name: str) -> np.ndarray:
    seen = ranges.activations[name]
    return np.maximum(-seen.minimum, seen.maximum)


def require_arranged(before: Lowered, after: Lowered, ranges: Ranges, name: str) -> None:
    """Hold the names, the order, the function, and that what was seen is what would be seen now."""
    assert name in after.sorted_inputs
    assert (np.diff(peaks(ranges, name)) >= 0).all()
    for one, other in zip(before.linears, after.linears, strict=True):
        assert (one.name, one.input, one.output, one.nodes) == (other.name, other.input, other.output, other.nodes)
    outputs = run(before.model, {"x": X}), run(after.model, {"x": X})
    np.testing.assert_allclose(outputs[0]["y"], outputs[1]["y"], rtol=1e-4, atol=1e-4)
    again = observe(after, [{"x": X}]).activations[name]
    np.testing.assert_allclose(again.maximum, ranges.activations[name].maximum, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(again.sample, ranges.activations[name].sample, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "between",
    [
        [node("Relu", ["h"], "g")],
        [node("Sigmoid", ["h"], "s"), node("Mul", ["h", "s"], "g")],
        [node("Mul", ["h", "half"], "s"), node("Tanh", ["s"], "t"), node("Mul", ["s", "t"], "g")],
        [node("Relu", ["h"], "s"), node("Add", ["s", "h"], "t"), node("Sub", ["t", "half"], "g")],
    ],
    ids=["Relu", "Silu", "scaled", "two ways"],
)
def test_hidden_channels_come_in_the_order_of_their_ranges(between):
    before, after, ranges = arranged(graph([*UP, *between, node("MatMul", ["g", "b"], "y")], HELD))
    require_arranged(before, after, ranges, "g")
    assert not np.array_equal(before.linears[0].weight, after.linears[0].weight)


def test_layers_in_a_row_are_all_arranged():
    held = {**HELD, "d": normal(4, 5, 3)}
    nodes = [*UP, node("Relu", ["h"], "g"), node("MatMul", ["g", "b"], "k"), node("Relu", ["k"], "r")]
    before, after, ranges = arranged(graph([*nodes, node("MatMul", ["r", "d"], "y")], held))
    for name in ("g", "r"):
        require_arranged(before, after, ranges, name)


@pytest.mark.parametrize(
    ("between", "outputs"),
    [
        ([node("Softmax", ["h"], "g")], ("y",)),
        ([node("Mul", ["h", "c"], "g")], ("y",)),
        ([node("Relu", ["h"], "g"), node("ReduceSum", ["g"], "z")], ("y", "z")),
        ([node("Relu", ["h"], "g"), node("ReduceSum", ["h"], "z")], ("y", "z")),
        ([node("Relu", ["h"], "g")], ("y", "h")),
        ([node("Relu", ["h"], "g")], ("y", "g")),
        ([node("Relu", ["x"], "u"), node("MatMul", ["u", "a"], "w"), node("Mul", ["h", "w"], "g")], ("y",)),
    ],
    ids=["over channels", "by channel", "read twice", "product read twice", "an output", "the input is", "two layers"],
)
def test_what_depends_on_the_order_keeps_it(between, outputs):
    model = graph([*UP, *between, node("MatMul", ["g", "b"], "y")], HELD, outputs=outputs)
    before, after, _ = arranged(model)
    assert not after.sorted_inputs
    for one, other in zip(before.linears, after.linears, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


def test_every_feed_forward_layer_of_an_encoder_is_arranged(tmp_path):
    source = open_source(str(models.tiny_bert(tmp_path / "model")))
    names = [str(value.name) for value in source.model.graph.inputs]
    feeds = equal_length_feeds(models.as_encoded(np.random.default_rng(0).integers(5, 28, (30, 12)).tolist()), names)
    before = lower(source.model)
    after, ranges = arrange(before, observe(before, feeds))
    assert len(after.sorted_inputs) == 2
    assert all((np.diff(peaks(ranges, name)) >= 0).all() for name in after.sorted_inputs)
    for name, value in run(before.model, feeds[0]).items():
        np.testing.assert_allclose(value, run(after.model, feeds[0])[name], atol=1e-4)


def test_shared_weights_stay_shared():
    nodes = []
    for number, source in enumerate(("x", "o0", "o1")):
        nodes += [node("MatMul", [source, "a"], f"p{number}"), node("Add", [f"p{number}", "c"], f"h{number}")]
        nodes += [node("Relu", [f"h{number}"], f"g{number}"), node("MatMul", [f"g{number}", "b"], f"q{number}")]
        nodes.append(node("Softmax", [f"q{number}"], f"o{number}"))
    held = {**HELD, "b": normal(3, 12, 4)}
    before = lower(graph(nodes, held, outputs=("o2",)))
    after, ranges = arrange(before, observe(before, [{"x": X}]))
    assert after.sorted_inputs == {"g0", "g1", "g2"}
    used = {each.nodes[0]: each for each in after.linears}
    weights = [str(each.inputs[1].name) for each in after.model.graph if each.name in used]
    assert len(set(weights)) == 2
    assert (np.diff(np.max([peaks(ranges, name) for name in after.sorted_inputs], axis=0)) >= 0).all()
    exact, found = (run(each.model, {"x": X})["o2"] for each in (before, after))
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-2)
