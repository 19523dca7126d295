"""Shapes that are known, and what is left out because of it."""

import numpy as np
import onnx_ir as ir
import pytest
from onnxscript.rewriter import RewritePass

from tests.graphs import graph, integers, node, operators, run
from toolkit.lower import lower
from toolkit.lower.rules import known_lengths, positions, reshape, swap_axes
from toolkit.lower.rules.expands import RemoveExpands
from toolkit.lower.shapes import InferShapes, dims

X = integers(0, 2, 5, 4)
ROWS = {"x": ["batch", "length", 4]}
NEGATED = node("Neg", ["r"], "y")  # what an output is called and shaped is never touched
SCORES = {"x": ["batch", "length", 4], "m": ["batch", 1, 4]}


def numbers(**values):
    return {name: np.array(value) for name, value in values.items()}


def same(model, feed, change):
    """Change a model whose shapes were inferred, and hold it to the same results; tell whether it changed."""
    InferShapes()(model)
    before = run(model, feed)
    modified = change(model).modified
    for name, expected in run(model, feed).items():
        np.testing.assert_array_equal(expected, before[name])
    return modified


def computed_reshape(*lengths, opset=20):
    """Return x reshaped to lengths: numbers, or letters: b and s of x by Shape and Gather."""
    parts = [
        node("Shape", ["x"], "shape"),
        *(node("Gather", ["shape", f"i{place}"], letter) for place, letter in enumerate("bs")),
        *(node("Unsqueeze", [letter, "axis"], f"{letter}1") for letter in "bs"),
    ]
    names = [f"{length}1" if isinstance(length, str) else f"n{place}" for place, length in enumerate(lengths)]
    fixed = {f"n{place}": np.array([length]) for place, length in enumerate(lengths) if isinstance(length, int)}
    nodes = [*parts, node("Concat", names, "target", axis=0), node("Reshape", ["x", "target"], "r"), NEGATED]
    return graph(nodes, numbers(i0=0, i1=1, axis=[0]) | fixed, ROWS, opset=opset)


@pytest.mark.parametrize("lengths", [("b", "s", 2, 2), ("b", -1, 2, 2), ("b", 4, -1)])
def test_a_reshape_copies_the_axes(lengths):
    model = computed_reshape(*lengths)
    assert same(model, {"x": X}, RewritePass((reshape.RULE,)))
    assert run(lower(model).model, {"x": integers(1, 3, 1, 4)})["y"].shape[0] == 3


def test_a_reshape_of_two_unknown_axes_stays():
    model = computed_reshape("s", "b", 4)
    assert not same(model, {"x": X}, RewritePass((reshape.RULE,)))


def test_shape_with_a_range_is_understood():
    nodes = [
        node("Shape", ["x"], "b", start=0, end=1),
        node("Concat", ["b", "rest"], "target", axis=0),
        node("Reshape", ["x", "target"], "r"),
        NEGATED,
    ]
    model = graph(nodes, numbers(rest=[-1, 2, 2]), ROWS)
    assert same(model, {"x": X}, RewritePass((reshape.RULE,)))


def test_known_lengths_are_constants():
    nodes = [
        node("Shape", ["x"], "shape"),
        node("Slice", ["shape", "start", "end"], "last"),
        node("Cast", ["last"], "size", to=1),
        node("Sqrt", ["size"], "root"),
        node("Mul", ["x", "root"], "y"),
    ]
    constants = numbers(start=[-1], end=[2**63 - 1])
    assert same(graph(nodes, constants, ROWS), {"x": X}, RewritePass((known_lengths.RULE,)))
    assert operators(lower(graph(nodes, constants, ROWS)).model) == ["Mul"]
    model = graph([*nodes[:2], node("Cast", ["last"], "y", to=1)], numbers(start=[-2], end=[2**63 - 1]), ROWS)
    assert not same(model, {"x": X}, RewritePass((known_lengths.RULE,)))


@pytest.mark.parametrize(("back", "swaps"), [([2, 3, 4, 5], True), ([3, 2, 4, 5], False)])
def test_two_axes_are_swapped_by_one_transpose(back, swaps):
    nodes = [
        node("Reshape", ["x", "folded"], "f"),
        node("Transpose", ["f"], "t", perm=[0, 2, 1]),
        node("Reshape", ["t", "unfolded"], "r"),
        NEGATED,
    ]
    model = graph(nodes, numbers(folded=[-1, 5, 4], unfolded=back), {"x": [2, 3, 5, 4]})
    assert same(model, {"x": integers(0, 2, 3, 5, 4)}, RewritePass((swap_axes.RULE,))) is swaps
    assert (operators(model) == ["Transpose", "Neg"]) is swaps


def position_lookup(places, axis=1, table=40):
    nodes = [
        node("Shape", ["ids"], "length", start=1, end=2),
        node("Slice", ["numbers", "zero", "length", "axis"], "cut"),
        node("Gather", ["table", "cut"], "y"),
    ]
    constants = numbers(numbers=places, zero=[0], axis=[axis]) | {"table": integers(0, table, 4)}
    return graph(nodes, constants, {"ids": ["batch", "length"]})


IDS = {"ids": np.zeros((2, 5), np.int64)}


def test_positions_are_laid_out():
    for places in (np.arange(40)[None], np.arange(20)[None, ::-1] + 3):
        model = position_lookup(places)
        assert same(model, IDS, RewritePass((positions.RULE,)))
        assert "Gather" not in operators(model)


def test_positions_that_two_look_up_are_both_laid_out():
    nodes = [
        node("Shape", ["ids"], "length", start=1, end=2),
        node("Slice", ["numbers", "zero", "length", "one"], "cut"),
        node("Gather", ["table", "cut"], "a"),
        node("Gather", ["table", "cut"], "b"),
        node("Add", ["a", "b"], "y"),
    ]
    constants = numbers(numbers=np.arange(40)[None], zero=[0], one=[1]) | {"table": integers(0, 40, 4)}
    model = graph(nodes, constants, {"ids": ["batch", "length"]})
    assert same(model, IDS, RewritePass((positions.RULE,)))
    assert "Gather" not in operators(lower(model).model)


@pytest.mark.parametrize(
    ("places", "axis"), [(np.arange(41)[None], 1), (np.arange(30)[None] + 20, 1), (np.arange(40)[None], -1)]
)
def test_positions_that_are_too_many_or_unknown_stay(places, axis):
    assert not RewritePass((positions.RULE,))(position_lookup(places, axis)).modified


EXPANDED = [node("Shape", ["x"], "shape"), node("Expand", ["m", "shape"], "wide")]
FEED = {"x": X, "m": integers(2, 2, 1, 4)}


@pytest.mark.parametrize(
    "between",
    [
        [node("Add", ["wide", "x"], "y")],
        [node("Sub", ["one", "wide"], "a"), node("Mul", ["a", "one"], "b"), node("Mul", ["x", "b"], "y")],
        [node("Neg", ["wide"], "n"), node("Mul", ["wide", "n"], "p"), node("Add", ["p", "x"], "y")],
        [node("Cast", ["wide"], "c", to=9), node("Where", ["c", "x", "one"], "y")],
    ],
)
def test_an_expand_that_would_come_anyway_goes(between):
    model = graph([*EXPANDED, *between], {"one": np.array(1, np.float32)}, SCORES)
    assert same(model, FEED, RemoveExpands())
    assert "Expand" not in operators(lower(model).model)


@pytest.mark.parametrize(
    ("between", "outputs"),
    [
        ([node("Neg", ["wide"], "y")], ("y",)),
        ([node("Add", ["wide", "x"], "y")], ("y", "wide")),
        ([node("Add", ["wide", "x"], "y"), node("ReduceSum", ["wide"], "z")], ("y", "z")),
        ([node("Add", ["wide", "m"], "y")], ("y",)),
        ([node("Neg", ["wide"], "n"), node("Mul", ["wide", "n"], "p"), node("Softmax", ["p"], "y")], ("y",)),
        ([node("MatMul", ["wide", "square"], "a"), node("Add", ["a", "x"], "y")], ("y",)),
    ],
)
def test_an_expand_that_something_needs_stays(between, outputs):
    model = graph([*EXPANDED, *between], {"square": integers(3, 4, 4)}, SCORES, outputs)
    assert not same(model, FEED, RemoveExpands())


@pytest.mark.parametrize(("index", "goes"), [([[1]], True), ([[0, 1, 1, 1, 1]], False)])
def test_a_lookup_of_one_row_becomes_the_row(index, goes):
    nodes = [
        node("Shape", ["x"], "shape"),
        node("Slice", ["shape", "zero", "two"], "rows"),
        node("Expand", ["index", "rows"], "ids"),
        node("Gather", ["table", "ids"], "kinds"),
        node("Add", ["x", "kinds"], "y"),
    ]
    model = graph(nodes, numbers(zero=[0], two=[2], index=index) | {"table": integers(1, 2, 4)}, ROWS)
    assert same(model, {"x": X}, RemoveExpands()) is goes


def test_what_the_tool_cannot_infer_leaves_everything_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = graph([node("Unheard", ["x"], "h", domain="else.where"), node("Add", ["h", "x"], "y")], {}, ROWS)
    assert not InferShapes()(model).modified
    assert dims(model.graph[0].outputs[0]) is None
    assert not list(tmp_path.iterdir())


def test_what_contradicts_what_is_known_is_not_taken():
    model = graph([node("Neg", ["x"], "n"), node("Neg", ["n"], "y")], {}, ROWS)
    InferShapes()(model)
    assert dims(model.graph[0].outputs[0]) == ("batch", "length", 4)
    model.graph[0].outputs[0].shape = ir.Shape(["batch", 4])
    assert not InferShapes()(model).modified
