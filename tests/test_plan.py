from dataclasses import replace

import numpy as np
import pytest

from tests import models
from tests.graphs import graph, lookup, node
from toolkit.errors import NumericsError
from toolkit.feeds import equal_length_feeds
from toolkit.lower import Lowered, lower
from toolkit.numerics.smooth import ALPHAS
from toolkit.numerics.weights import dequantize, pair_bound_holds
from toolkit.observe import Ranges, observe
from toolkit.plan import QuantPlan, plan
from toolkit.sources import open_source
from toolkit.targets import Quantization, Rule

INT8 = Rule(why="int8", select="linear", precision="int8", weight_range="pair", smoothing="none")
SMOOTH = Rule(why="smooth", select="linear", smoothing="search")
APART = Rule(why="apart", select="linear", outliers="any")
TABLES = Rule(why="tables", select="embedding", precision="int8")
IDS = np.arange(40, dtype=np.int64).reshape(4, 10)


def rules(*items: Rule) -> Quantization:
    return Quantization(rules=items)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def planned(table: np.ndarray, weight: np.ndarray, *items: Rule, bias: np.ndarray | None = None) -> QuantPlan:
    lowered = lower(lookup(table, weight, bias))
    return plan(lowered, observe(lowered, [{"ids": IDS}]), rules(*items))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lowered, Ranges]:
    source = open_source(str(models.tiny_bert(tmp_path_factory.mktemp("models") / "bert")))
    lowered = lower(source.model)
    names = [str(value.name) for value in source.model.graph.inputs]
    ids = np.random.default_rng(0).integers(5, 28, (30, 12)).tolist()
    return lowered, observe(lowered, equal_length_feeds(models.as_encoded(ids), names))


def precisions(bert: tuple[Lowered, Ranges], *items: Rule) -> dict[str, bool]:
    """Return which layers are int8, by name."""
    return {item.linear.name: item.int8 is not None for item in plan(*bert, rules(*items)).linears}


def test_what_no_rule_speaks_of_stays_float(bert):
    made = plan(*bert, rules())
    for item in (*made.linears, *made.embeddings):
        assert item.sqnr_db is None
        assert item.treatment.precision == "float"
        assert item.treatment.why == ("No rule speaks of it.",)
    assert not any(precisions(bert).values())


def test_the_plan_is_in_the_order_of_the_graph(bert):
    made = plan(*bert, rules(INT8, TABLES))
    assert [item.linear for item in made.linears] == list(bert[0].linears)
    assert [item.embedding for item in made.embeddings] == list(bert[0].embeddings)
    assert made.unquantized == bert[0].unquantized


def test_a_later_rule_wins(bert):
    back = Rule(why="back", select="linear", precision="float")
    assert all(precisions(bert, back, INT8).values())
    assert not any(precisions(bert, INT8, back).values())
    made = plan(*bert, rules(INT8, back)).linears[0]
    assert made.treatment.why == ("int8", "back")


def test_a_rule_says_only_what_it_says(bert):
    made = plan(*bert, rules(INT8, Rule(why="range", select="linear", weight_range="reduced"))).linears[0]
    assert (made.treatment.precision, made.treatment.weight_range) == ("int8", "reduced")
    assert np.abs(made.int8.weights.values.astype(int)).max() == 64


def test_names_are_globs(bert):
    names = list(precisions(bert))
    chosen = [name for name in names if "layer.0" in name]
    assert 0 < len(chosen) < len(names)
    found = precisions(bert, INT8, Rule(why="one layer", select="linear", name="*layer.0*", precision="float"))
    assert [name for name, int8 in found.items() if not int8] == chosen
    exact = precisions(bert, INT8.model_copy(update={"name": names[2]}))
    assert [name for name, int8 in exact.items() if int8] == [names[2]]


@pytest.mark.parametrize(
    ("bounds", "small", "middle", "large"),
    [
        ({"min_parameters": 2048}, False, True, True),
        ({"min_parameters": 2049}, False, False, True),
        ({"max_parameters": 2048}, True, True, False),
        ({"max_parameters": 2047}, True, False, False),
        ({"min_parameters": 1025, "max_parameters": 3071}, False, True, False),
    ],
    ids=str,
)
def test_sizes_are_inclusive(bert, bounds, small, middle, large):
    found = precisions(bert, INT8.model_copy(update=bounds))
    sizes = {1024: small, 2048: middle, 3072: large}
    for linear in bert[0].linears:
        assert found[linear.name] is sizes[linear.weight.size]


def test_rules_for_tables_do_not_speak_of_layers(bert):
    made = plan(*bert, rules(TABLES.model_copy(update={"min_parameters": 28 * 32})))
    assert all(item.int8 is None for item in made.linears)
    int8 = {item.embedding.table.shape for item in made.embeddings if item.rows is not None}
    assert (28, 32) in int8
    assert (2, 32) not in int8


def test_the_pair_bound_holds_for_every_layer(bert):
    for items in ((INT8,), (INT8, SMOOTH)):
        for item in plan(*bert, rules(*items)).linears:
            assert pair_bound_holds(item.int8.weights.values)
    full = plan(*bert, rules(INT8, Rule(why="full", select="linear", weight_range="full"))).linears
    assert not any(pair_bound_holds(item.int8.weights.values) for item in full)


def test_sqnr_is_what_sampled_tokens_show(bert):
    for item in plan(*bert, rules(INT8)).linears:
        rows = bert[1].activations[item.linear.input].sample.astype(np.float64)
        affine = item.int8.quantizer.affine
        u8 = np.clip(np.rint(rows / affine.scale) + affine.zero_point, 0, 255)
        measured = (u8 - affine.zero_point) * affine.scale @ dequantize(item.int8.weights).astype(np.float64)
        reference = rows @ item.linear.weight + item.linear.bias
        noise = reference - (measured + item.int8.bias)
        assert np.abs(noise.mean(0)).max() < 1e-5  # the bias takes the mean error away
        product = rows @ item.linear.weight
        expected = 10 * np.log10(np.square(product).sum() / np.square(noise).sum())
        assert item.sqnr_db == pytest.approx(expected, abs=0.01)
        assert item.sqnr_db > 30


def test_planning_twice_gives_the_same(bert):
    first, second = (plan(*bert, rules(INT8, SMOOTH, TABLES)) for _ in range(2))
    for one, two in zip(first.linears, second.linears, strict=True):
        assert one.int8.quantizer.affine == two.int8.quantizer.affine
        assert one.sqnr_db == two.sqnr_db
        np.testing.assert_array_equal(one.int8.weights.values, two.int8.weights.values)


def test_an_outlier_channel_is_smoothed_where_the_recipe_allows_it():
    table = normal(0, 40, 16)
    table[:, 3] *= 60
    weight = normal(1, 16, 64)
    weight[3] /= 60
    plain = planned(table, weight, INT8).linears[0]
    smooth = planned(table, weight, INT8, SMOOTH).linears[0]
    assert (plain.int8.quantizer.smooth, plain.int8.quantizer.alpha) == (None, None)
    quantizer = smooth.int8.quantizer
    assert quantizer.alpha in ALPHAS
    assert quantizer.smooth.argmax() == 3
    assert smooth.sqnr_db > plain.sqnr_db + 10
    # What stands in the weight is the weight times the factors, to half a step.
    error = np.abs(dequantize(smooth.int8.weights) - weight * quantizer.smooth[:, None])
    assert (error <= smooth.int8.weights.scale / 2 * 1.0001).all()
    assert pair_bound_holds(smooth.int8.weights.values)


def test_even_channels_are_not_worth_a_mul():
    made = planned(normal(0, 40, 16), normal(1, 16, 64), INT8, SMOOTH).linears[0]
    assert made.int8.quantizer.smooth is None


def with_outliers(channels: list[int]) -> np.ndarray:
    table = normal(0, 40, 64)
    table[:, channels] *= 60
    return table


def test_outlier_channels_are_left_to_a_float_product():
    table, weight = with_outliers([3, 20]), normal(1, 64, 64)
    plain, apart = (planned(table, weight, *rules).linears[0] for rules in ((INT8,), (INT8, APART)))
    outliers = apart.int8.quantizer.outliers
    assert outliers.size == 8
    assert {3, 20} <= set(outliers.tolist())
    assert (np.diff(outliers) > 0).all()
    assert not apart.int8.weights.values[outliers].any()
    np.testing.assert_array_equal(apart.int8.apart, weight[outliers])
    assert apart.int8.quantizer.affine.scale < plain.int8.quantizer.affine.scale / 20
    assert apart.sqnr_db > plain.sqnr_db + 20
    assert pair_bound_holds(apart.int8.weights.values)


def test_even_channels_all_stay_in_int8():
    made = planned(normal(0, 40, 64), normal(1, 64, 64), INT8, APART).linears[0]
    assert made.int8.quantizer.outliers is None
    assert made.int8.apart is None


def test_few_channels_are_never_left_out():
    assert planned(with_outliers([3])[:, :63], normal(1, 63, 64), INT8, APART).linears[0].int8.apart is None


def test_unsorted_channels_are_left_out_only_where_a_rule_says_any():
    table, weight = with_outliers([3, 20]), normal(1, 64, 64)
    where_sorted = APART.model_copy(update={"outliers": "sorted"})
    assert planned(table, weight, INT8, where_sorted).linears[0].int8.apart is None
    lowered = replace(lower(lookup(table, weight)), sorted_inputs=frozenset(("x",)))
    made = plan(lowered, observe(lowered, [{"ids": IDS}]), rules(INT8, where_sorted)).linears[0]
    if made.int8.apart is not None:  # told that they are sorted, the last ones are taken
        assert made.int8.quantizer.outliers.tolist() == list(range(64 - len(made.int8.apart), 64))


@pytest.mark.parametrize("treated", [{}, {"smoothing": "search"}, {"outliers": "any"}], ids=str)
@pytest.mark.parametrize("weight_range", ["full", "pair", "reduced"])
def test_compensated_rounding_has_less_error_and_keeps_the_bound(weight_range, treated):
    table = with_outliers([3, 20]) @ normal(7, 64, 64)  # channels that go together
    weight = normal(1, 64, 64)
    rule = INT8.model_copy(update={"weight_range": weight_range, **treated})
    plain = planned(table, weight, rule).linears[0]
    made = planned(table, weight, rule, Rule(why="gptq", select="linear", rounding="gptq")).linears[0]
    assert made.sqnr_db > plain.sqnr_db
    assert made.int8.quantizer.affine == plain.int8.quantizer.affine
    assert np.abs(made.int8.weights.values.astype(int)).max() <= (64 if weight_range == "reduced" else 127)
    assert pair_bound_holds(made.int8.weights.values) or weight_range == "full"
    if made.int8.apart is not None:
        assert not made.int8.weights.values[made.int8.quantizer.outliers].any()


def test_siblings_share_one_quantizer_and_one_that_stays_float_has_none():
    nodes = [
        node("Gather", ["table", "ids"], "x"),
        *(node("MatMul", ["x", f"w{i}"], f"y{i}") for i in range(3)),
    ]
    constants = {"table": normal(0, 40, 8)} | {f"w{i}": normal(i, 8, 4 + i) for i in range(3)}
    # Outputs of the graph are not merged, so that they stay siblings.
    lowered = lower(graph(nodes, constants, {"ids": ["batch", "length"]}, ["y0", "y1", "y2"]))
    back = Rule(why="back", select="linear", max_parameters=32, precision="float")
    items = plan(lowered, observe(lowered, [{"ids": IDS}]), rules(INT8, SMOOTH, back)).linears
    assert [item.int8 is None for item in items] == [True, False, False]
    assert items[1].int8.quantizer is items[2].int8.quantizer


def test_smoothing_is_not_searched_where_one_sibling_forbids_it():
    table = normal(0, 40, 8)
    table[:, 2] *= 60
    nodes = [node("Gather", ["table", "ids"], "x"), *(node("MatMul", ["x", f"w{i}"], f"y{i}") for i in range(2))]
    weights = {f"w{i}": normal(i, 8, 40) / np.float32([[1], [1], [60], *[[1]] * 5]) for i in range(2)}
    lowered = lower(graph(nodes, {"table": table} | weights, {"ids": ["batch", "length"]}, ["y0", "y1"]))
    ranges = observe(lowered, [{"ids": IDS}])
    assert all(item.int8.quantizer.smooth is not None for item in plan(lowered, ranges, rules(INT8, SMOOTH)).linears)
    never = Rule(why="never", select="linear", name=lowered.linears[1].name, smoothing="none")
    found = plan(lowered, ranges, rules(INT8, SMOOTH, never)).linears
    assert all(item.int8.quantizer.smooth is None for item in found)


@pytest.mark.parametrize("smoothing", [(), (SMOOTH,)], ids=["plain", "search"])
@pytest.mark.parametrize("case", ["zero activation", "constant activation", "zero channel", "zero weight", "one token"])
def test_degenerate_tensors_get_finite_numbers(case, smoothing):
    table, weight = normal(0, 40, 6), normal(1, 6, 5)
    if case == "zero activation":
        table[:] = 0
    if case == "constant activation":
        table[:] = -3.7
    if case == "zero channel":
        table[:, 2], weight[4], weight[:, 1] = 0, 0, 0
    if case == "zero weight":
        weight[:] = 0
    if case == "one token":
        table[:] = table[0]
    (item,) = planned(table, weight, INT8, *smoothing).linears
    int8 = item.int8
    assert int8.quantizer.affine.scale > 0
    assert np.isfinite(int8.quantizer.affine.scale)
    assert np.isfinite(int8.weights.scale).all()
    assert (int8.weights.scale > 0).all()
    assert np.isfinite(int8.bias).all()
    assert np.isfinite(item.sqnr_db)
    product = table @ weight
    u8 = int8.quantizer.affine
    smooth = 1 if int8.quantizer.smooth is None else int8.quantizer.smooth
    x = (np.clip(np.rint(table / smooth / u8.scale) + u8.zero_point, 0, 255) - u8.zero_point) * u8.scale
    measured = x @ dequantize(int8.weights) + int8.bias
    np.testing.assert_allclose(measured, product, rtol=0, atol=0.1)


def test_quantized_rows_have_a_scale_each():
    table = normal(0, 40, 6) * np.logspace(-3, 3, 40, dtype=np.float32)[:, None]
    table[7] = 0
    (item,) = planned(table, normal(1, 6, 5), TABLES).embeddings
    assert (item.rows.values.shape, item.rows.scale.shape) == ((40, 6), (40,))
    assert item.rows.values.flags.c_contiguous
    restored = item.rows.values * item.rows.scale[:, None]
    assert (np.abs(restored - table) <= item.rows.scale[:, None] / 2 * 1.0001).all()
    assert item.rows.values[7].tolist() == [0] * 6
    assert 40 < item.sqnr_db < 60


@pytest.mark.parametrize("smoothing", [(), (SMOOTH,)], ids=["plain", "search"])
def test_a_layer_whose_sums_overflow_is_refused_by_name(smoothing):
    """float32 ends at 3.4e38: both factors are finite here, their product is not."""
    huge = np.float32(1e20)
    with pytest.raises(NumericsError, match=r"product is not finite on calibration data\n  where: n\.y"):
        planned(normal(0, 40, 2) * huge, normal(1, 2, 2) * huge, INT8, *smoothing)
    assert planned(normal(0, 40, 2) * huge, normal(1, 2, 2), INT8, *smoothing).linears[0].sqnr_db > 30


def test_progress_is_told(bert):
    told = []

    def track(items, what, total):
        told.append((what, total))
        return items

    plan(*bert, rules(INT8), track)
    assert told == [("plan int8 layers", len(bert[0].linears))]
