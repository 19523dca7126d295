"""Rungs of real graphs: what a run takes of the switchable model is what the mixed plan gives."""

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.graphs import graph, node, run
from toolkit.apply import apply
from toolkit.fallback.costs import estimated
from toolkit.fallback.pieces import Cutter, size_of
from toolkit.fallback.rungs import (
    BUDGET,
    FALLBACK,
    FLOAT,
    OUTLIERS,
    PLAIN,
    RECIPE,
    compose,
    make_rungs,
    pieces_of,
    units_of,
)
from toolkit.fallback.sensitivity import noise_of, sensitivity
from toolkit.fallback.switch import Switched, switchable
from toolkit.forms import Profile
from toolkit.lower import lower
from toolkit.observe import observe
from toolkit.plan import plan
from toolkit.targets import Quantization, Rule

PROFILES = tuple(Profile(name="one", batch=batch, length=length, weight=1) for batch, length in ((1, 16), (8, 64)))
RULES = Quantization(rules=(Rule(why="all", select="linear", precision="int8", smoothing="search"),))


@pytest.fixture(scope="module")
def made():
    """Two layers, Q, K and V merged in the first; the channels of the input differ by far."""
    random = np.random.default_rng(0)
    weights = {name: random.normal(size=(64, 64)).astype(np.float32) for name in ("q", "k", "v", "o")}
    constants = {**weights, "bias": random.normal(size=64).astype(np.float32)}
    nodes = [
        *(node("MatMul", ["x", name], f"x{name}") for name in ("q", "k", "v")),
        node("Add", ["xv", "bias"], "vb"),
        node("Mul", ["xq", "xk"], "qk"),
        node("Mul", ["qk", "vb"], "qkv"),
        node("MatMul", ["qkv", "o"], "y"),
    ]
    lowered = lower(graph(nodes, constants, {"x": ["batch", "tokens", 64]}))
    spread = np.geomspace(0.1, 30, 64).astype(np.float32)
    feeds = [{"x": (random.normal(size=(4, 5, 64)) * spread).astype(np.float32)} for _ in range(3)]
    ranges = observe(lowered, feeds)
    rungs = make_rungs(lowered, lambda rules: plan(lowered, ranges, rules), RULES, BUDGET)
    return lowered, feeds, rungs, units_of(rungs[0].plan)


def test_the_ladder_goes_from_the_weakest_to_float(made):
    _, _, rungs, units = made
    assert [rung.name for rung in rungs] == [PLAIN, RECIPE, OUTLIERS, FLOAT]
    assert [len(unit.linears) for unit in units] == [1, 1]
    plain, recipe, outliers = ([item.int8.quantizer for item in rung.plan.linears] for rung in rungs[:3])
    assert all(each.smooth is None and each.outliers is None for each in plain)
    assert any(each.smooth is not None for each in recipe)
    assert any(each.outliers is not None for each in outliers)
    assert all(item.int8 is None and item.treatment.precision == "float" for item in rungs[3].plan.linears)


def test_every_mix_is_the_model_of_its_plan(made):
    lowered, feeds, rungs, units = made
    mixed = switchable([rung.model for rung in rungs], [unit.linears for unit in units])
    switched = Switched(mixed, feeds, "y", 1)
    for levels in itertools.product(range(4), repeat=2):
        model = apply(lowered, compose(rungs, units, levels, {}))
        expected = np.concatenate([run(model, feed)["y"].reshape(-1, 64) for feed in feeds])
        assert np.array_equal(switched.outputs(levels), expected), levels


def test_a_mixed_plan_says_why(made):
    _, _, rungs, units = made
    plan_ = compose(rungs, units, [0, 3], {1: "for a reason"})
    assert [item.treatment.why[-1] for item in plan_.linears] == [
        "Int8 without smoothing, by a fallback or a budget.",
        "for a reason",
    ]
    assert [item.int8 is None for item in plan_.linears] == [False, True]


def test_sensitivity_is_what_a_unit_does_alone(made):
    _, feeds, rungs, units = made
    mixed = switchable([rung.model for rung in rungs], [unit.linears for unit in units])
    switched = Switched(mixed, feeds, "y", 1)
    reference = switched.outputs([3, 3])
    noise = sensitivity(switched, reference, rungs, units)
    assert noise.shape == (2, 4)
    assert (noise[:, 3] == 0).all()
    assert noise[0, 0] == noise_of(reference, switched.outputs([0, 3])) > 0
    assert noise[1, 1] == noise_of(reference, switched.outputs([3, 1])) > 0


def test_noise_that_is_not_finite_is_endless():
    assert noise_of(np.ones((2, 2), np.float32), np.full((2, 2), np.nan, np.float32)) == np.inf


def test_a_piece_is_the_layer_alone(made):
    _, feeds, rungs, units = made
    linear = units[0].linears[0]
    rows = feeds[0]["x"].reshape(-1, 64)
    expected = rows @ linear.weight + linear.bias
    for rung in rungs:
        piece = Cutter(rung.model.graph).piece(linear)
        model = ir.from_proto(onnx.ModelProto.FromString(piece.as_model(linear, rung.model)))
        assert noise_of(expected, run(model, {linear.input: rows})[linear.output]) < (
            1e-12 if rung.name == FLOAT else 0.1
        )


def test_layers_that_share_a_weight_move_together_and_count_once():
    random = np.random.default_rng(0)
    weight = random.normal(size=(8, 8)).astype(np.float32)
    nodes = [node("MatMul", ["x", "w"], "z"), node("Tanh", ["z"], "t"), node("MatMul", ["t", "w"], "y")]
    lowered = lower(graph(nodes, {"w": weight}, {"x": ["batch", 8]}))
    ranges = observe(lowered, [{"x": random.normal(size=(4, 8)).astype(np.float32)}])
    rungs = make_rungs(lowered, lambda rules: plan(lowered, ranges, rules), RULES, FALLBACK)
    units = units_of(rungs[0].plan)
    assert [unit.places for unit in units] == [(0, 1)]
    int8, *_, in_float = (size_of(column) for column in zip(*pieces_of(rungs, units)[0], strict=True))
    assert 8 * 8 < int8 < 8 * 8 * 4 <= in_float < 2 * 8 * 8 * 4
    mixed = switchable([rung.model for rung in rungs], [unit.linears for unit in units])
    switched = Switched(mixed, [{"x": np.ones((1, 8), np.float32)}], "y", 1)
    assert not np.array_equal(switched.outputs([0]), switched.outputs([2]))


def test_costs_that_cannot_be_timed_are_counted(made):
    _, _, rungs, units = made
    found = estimated(pieces_of(rungs, units), "dotprod", PROFILES)
    assert not found.measured
    assert "dotprod" in found.how
    product = 16 * 64 * 192
    assert found.values[0, :, 0].tolist() == [product / 4, product / 4, product / 4 + 16 * 8 * 192, product]
    assert found.shares[:, 3].sum() == pytest.approx(1)
