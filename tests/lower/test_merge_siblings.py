import numpy as np
import onnx_ir as ir
import pytest

from tests.graphs import graph, integers, node, operators, run
from toolkit.lower.linear import find_linears
from toolkit.lower.merge_siblings import MergeSiblingLinears, merged_name

X = integers(9, 5, 4)
FAMILY = {
    "wq": integers(0, 4, 3),
    "bq": integers(1, 3),
    "wk": integers(2, 4, 2),
    "wv": integers(3, 6, 4),
    "bv": integers(4, 6),
}


def family(opset: int = 20, outputs: tuple[str, ...] = ("y", "z")) -> ir.Model:
    """Q with a bias, K without, V as a Gemm; all used, two of them twice."""
    nodes = [
        node("MatMul", ["x", "wq"], "pq"),
        node("Add", ["pq", "bq"], "q"),
        node("MatMul", ["x", "wk"], "k"),
        node("Gemm", ["x", "wv", "bv"], "v", transB=1),
        node("Concat", ["q", "k", "v"], "y", axis=1),
        node("Concat", ["v", "q", "x"], "z", axis=1),
    ]
    return graph(nodes, FAMILY, outputs=outputs, opset=opset)


def merge(model: ir.Model) -> bool:
    return bool(MergeSiblingLinears()(model).modified)


@pytest.mark.parametrize("opset", [13, 18, 20])
def test_siblings_become_one_layer_with_the_same_results(opset):
    model = family(opset)
    before = run(model, {"x": X})
    assert merge(model)
    after = run(model, {"x": X})
    for name in ("y", "z"):
        np.testing.assert_array_equal(after[name], before[name])  # whole numbers: exact in any order
    (linear,) = find_linears(model.graph)
    assert (linear.input, linear.weight.shape) == ("x", (4, 11))
    np.testing.assert_array_equal(linear.bias, [*FAMILY["bq"], 0, 0, *FAMILY["bv"]])
    assert operators(model) == ["MatMul", "Add", "Split", "Concat", "Concat"]


def test_merging_twice_changes_nothing():
    model = family()
    assert merge(model)
    assert not merge(model)


def test_three_axes():
    nodes = [
        node("MatMul", ["x", "wq"], "q"),
        node("MatMul", ["x", "wk"], "k"),
        node("Concat", ["k", "q"], "y", axis=-1),
    ]
    model = graph(nodes, FAMILY, {"x": ["batch", "length", 4]})
    x = integers(0, 2, 3, 4)
    before = run(model, {"x": x})["y"]
    assert merge(model)
    np.testing.assert_array_equal(run(model, {"x": x})["y"], before)


def test_an_only_child_is_left_alone():
    model = graph([node("MatMul", ["x", "wq"], "y")], FAMILY)
    assert not merge(model)
    assert operators(model) == ["MatMul"]


def test_a_family_that_feeds_an_output_is_left_alone():
    model = family(outputs=("y", "z", "k"))
    assert not merge(model)


def test_an_opset_whose_split_has_no_sizes_input_is_left_alone():
    assert not merge(family(opset=12))


def test_two_families():
    nodes = [
        node("MatMul", ["x", "w0"], "a"),
        node("MatMul", ["x", "w1"], "b"),
        node("Mul", ["a", "b"], "c"),
        node("MatMul", ["c", "w2"], "d"),
        node("MatMul", ["c", "w3"], "e"),
        node("Sub", ["d", "e"], "y"),
    ]
    model = graph(nodes, {f"w{i}": integers(i, 4, 4) for i in range(4)})
    before = run(model, {"x": X})["y"]
    assert merge(model)
    np.testing.assert_array_equal(run(model, {"x": X})["y"], before)
    assert [linear.weight.shape for linear in find_linears(model.graph)] == [(4, 8), (4, 8)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.query.w", "a.key.w", "a.value.w"], "a.query+key+value.w"),
        (["layer.0/q/MatMul", "layer.0/k/MatMul"], "layer.0/q+k/MatMul"),
        (["query", "queue"], "query+queue"),  # no separator: nothing is cut inside a word
        (["a.q", "a.q2"], "a.q+q2"),
        (["a", "b"], "a+b"),
        (["x.key_a.w", "x.key_b.w"], "x.key_a+key_b.w"),
        (["m.1.x", "m.1.1.x"], "m.1.x+1.x"),
    ],
)
def test_names(names, expected):
    assert merged_name(names) == expected
