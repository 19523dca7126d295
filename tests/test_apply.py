import numpy as np
import onnx_ir as ir
import pytest

from tests import models
from tests.graphs import graph, lookup, node, operators, run, serialized
from toolkit.apply import apply
from toolkit.feeds import equal_length_feeds
from toolkit.lower import Lowered, lower
from toolkit.numerics.weights import pair_bound_holds
from toolkit.observe import Ranges, observe
from toolkit.plan import LinearPlan, QuantPlan, plan
from toolkit.sources import open_source
from toolkit.targets import Quantization, Rule, load_recipe

INT8 = Rule(why="int8", select="linear", precision="int8", weight_range="pair", smoothing="none")
SMOOTH = Rule(why="smooth", select="linear", smoothing="search")
TABLES = Rule(why="tables", select="embedding", precision="int8")
IDS = np.arange(40, dtype=np.int64).reshape(4, 10)
BIG = 128  # at this width a layer of the tiny BERT has the 16384 weights above which recipes quantize


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def quantized(model: ir.Model, *rules: Rule) -> tuple[QuantPlan, ir.Model]:
    """Return the plan and the int8 graph of a model of ``ids``, calibrated on all of IDS."""
    lowered = lower(model)
    made = plan(lowered, observe(lowered, [{"ids": IDS}]), Quantization(rules=rules))
    return made, apply(lowered, made)


def products(item: LinearPlan, rows: np.ndarray) -> np.ndarray:
    """Return the integers [rows, N] that the layer's u8 x s8 product is, from its float input."""
    quantizer, weights = item.int8.quantizer, item.int8.weights
    scaled = rows if quantizer.smooth is None else rows * (1 / quantizer.smooth)
    u8 = np.clip(np.rint(scaled / quantizer.affine.scale) + np.float32(quantizer.affine.zero_point), 0, 255)
    return (u8.astype(np.int64) - int(quantizer.affine.zero_point)) @ weights.values.astype(np.int64)


def require_emulated(item: LinearPlan, rows: np.ndarray, output: np.ndarray) -> None:
    """Hold the layer's output against whole numbers: those under it exactly, itself to float32's rounding."""
    scale = np.float64(item.int8.quantizer.affine.scale) * item.int8.weights.scale
    expected = products(item, rows)
    np.testing.assert_array_equal(np.rint((output - np.float64(item.int8.bias)) / scale).astype(np.int64), expected)
    np.testing.assert_allclose(output, expected * scale + item.int8.bias, rtol=1e-6, atol=1e-5)


def held(model: ir.Model, name: str) -> np.ndarray:
    return model.graph.initializers[name].const_value.numpy()


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lowered, Ranges, list[dict[str, np.ndarray]]]:
    source = open_source(str(models.tiny_bert(tmp_path_factory.mktemp("models") / "bert", hidden=BIG)))
    lowered = lower(source.model)
    names = [str(value.name) for value in source.model.graph.inputs]
    ids = np.random.default_rng(0).integers(5, 28, (30, 12)).tolist()
    feeds = equal_length_feeds(models.as_encoded(ids), names)
    return lowered, observe(lowered, feeds), feeds


@pytest.mark.parametrize("weight_range", ["pair", "reduced"])
@pytest.mark.parametrize("bias", [None, normal(2, 9)], ids=["no bias", "bias"])
@pytest.mark.parametrize("inner", [1, 7, 32])
def test_a_layer_is_its_integers(inner, bias, weight_range):
    table = normal(0, 40, inner)
    rule = INT8.model_copy(update={"weight_range": weight_range})
    made, int8 = quantized(lookup(table, normal(1, inner, 9), bias), rule)
    assert operators(int8) == ["Gather", "QuantizeLinear", "MatMulIntegerToFloat"]
    require_emulated(made.linears[0], table[IDS], run(int8, {"ids": IDS})["y"])


def test_a_smoothed_layer_is_its_integers():
    table, weight = normal(0, 40, 16), normal(1, 16, 64)
    table[:, 3] *= 60
    weight[3] /= 60
    model = lookup(table, weight, normal(2, 64))
    made, int8 = quantized(model, INT8, SMOOTH)
    assert made.linears[0].int8.quantizer.smooth is not None
    assert operators(int8) == ["Gather", "Mul", "QuantizeLinear", "MatMulIntegerToFloat"]
    output = run(int8, {"ids": IDS})["y"]
    require_emulated(made.linears[0], table[IDS], output)
    plain = run(quantized(model, INT8)[1], {"ids": IDS})["y"]
    exact = run(model, {"ids": IDS})["y"]
    assert np.abs(output - exact).mean() < np.abs(plain - exact).mean() / 3


@pytest.mark.parametrize(("channels", "taken"), [([3, 20], "Gather"), (list(range(56, 64)), "Slice")])
def test_outlier_channels_take_a_product_of_their_own(channels, taken):
    table, weight = normal(0, 40, 64), normal(1, 64, 64)
    table[:, channels] *= 60
    model = lookup(table, weight, normal(2, 64))
    made, int8 = quantized(model, INT8, Rule(why="apart", select="linear", outliers="any"))
    assert operators(int8) == ["Gather", taken, "QuantizeLinear", "MatMulIntegerToFloat", "MatMul", "Add"]
    item = made.linears[0]
    output = run(int8, {"ids": IDS})["y"]
    inner = output - table[IDS][..., item.int8.quantizer.outliers] @ item.int8.apart
    scale = np.float64(item.int8.quantizer.affine.scale) * item.int8.weights.scale
    np.testing.assert_allclose(inner, products(item, table[IDS]) * scale + item.int8.bias, atol=1e-2)
    exact = run(model, {"ids": IDS})["y"]
    plain = run(quantized(model, INT8)[1], {"ids": IDS})["y"]
    assert np.abs(output - exact).mean() < np.abs(plain - exact).mean() / 10


@pytest.mark.parametrize("bias", [False, True])
def test_what_int8_can_say_comes_out_exactly(bias):
    """Both scales are 1 here, and every number is whole: nothing is rounded anywhere."""
    rng = np.random.default_rng(0)
    table = rng.integers(-128, 128, (40, 8)).astype(np.float32)
    table[0, :2] = -128, 127
    weight = rng.integers(-127, 128, (8, 5)).astype(np.float32)
    weight[1::2], weight[0] = 0, 127  # one weight of each pair is zero: the full peak keeps the bound
    row = np.arange(5, dtype=np.float32) if bias else None
    made, int8 = quantized(lookup(table, weight, row), INT8)
    affine = made.linears[0].int8.quantizer.affine
    assert (float(affine.scale), int(affine.zero_point)) == (1, 128)
    expected = table[IDS] @ weight + (0 if row is None else row)
    np.testing.assert_array_equal(run(int8, {"ids": IDS})["y"], expected)


def test_activations_beyond_what_was_seen_are_clipped():
    table = normal(0, 41, 6)
    table[40] = 1e6
    made, int8 = quantized(lookup(table, normal(1, 6, 5)), INT8)  # IDS do not hold 40
    output = run(int8, {"ids": np.array([[40, 1]])})["y"]
    require_emulated(made.linears[0], table[[[40, 1]]], output)


def test_siblings_share_one_quantizer():
    nodes = [node("Gather", ["table", "ids"], "x"), *(node("MatMul", ["x", f"w{i}"], f"y{i}") for i in range(3))]
    table = normal(0, 40, 8)
    constants = {"table": table} | {f"w{i}": normal(i, 8, 4 + i) for i in range(3)}
    # Outputs of the graph are not merged, so that they stay siblings. One stays float and reads the same input.
    model = graph(nodes, constants, {"ids": ["batch", "length"]}, ["y0", "y1", "y2"])
    back = Rule(why="back", select="linear", max_parameters=32, precision="float")
    made, int8 = quantized(model, INT8, back)
    assert sorted(operators(int8)) == ["Gather", "MatMul", *["MatMulIntegerToFloat"] * 2, "QuantizeLinear"]
    found = run(int8, {"ids": IDS})
    for number in (1, 2):
        require_emulated(made.linears[number], table[IDS], found[f"y{number}"])
    np.testing.assert_allclose(found["y0"], table[IDS] @ constants["w0"], rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_used_again_is_stored_once():
    """As ALBERT's layers do; what flows into the second use is far larger, and both know it."""
    table, weight = normal(0, 40, 8), normal(1, 8, 8)
    nodes = [
        node("Gather", ["table", "ids"], "x"),
        node("MatMul", ["x", "weight"], "middle"),
        node("MatMul", ["middle", "weight"], "y"),
    ]
    model = graph(nodes, {"table": table, "weight": weight}, {"ids": ["batch", "length"]})
    made, int8 = quantized(model, INT8, SMOOTH)
    stored = [name for name in int8.graph.initializers if name.endswith("weight_s8")]
    assert len(stored) == 1
    first, second = made.linears
    assert np.array_equal(first.int8.weights.values, second.int8.weights.values)
    assert first.int8.quantizer.affine == second.int8.quantizer.affine
    output, expected = run(int8, {"ids": IDS})["y"], table[IDS] @ weight @ weight
    assert np.square(output - expected).sum() < 1e-2 * np.square(expected).sum()


def test_layers_in_a_row():
    nodes = [
        node("Gather", ["table", "ids"], "x"),
        node("MatMul", ["x", "w0"], "h"),
        node("MatMul", ["h", "w1"], "y"),
    ]
    table = normal(0, 40, 8)
    model = graph(
        nodes, {"table": table, "w0": normal(1, 8, 6), "w1": normal(2, 6, 5)}, {"ids": ["b", "l"]}, ["y", "h"]
    )
    made, int8 = quantized(model, INT8)
    assert operators(int8) == ["Gather", *["QuantizeLinear", "MatMulIntegerToFloat"] * 2]
    assert [value.name for value in int8.graph.outputs] == ["y", "h"]
    found = run(int8, {"ids": IDS})
    require_emulated(made.linears[0], table[IDS], found["h"])
    require_emulated(made.linears[1], found["h"], found["y"])


def test_a_gemm_fed_from_outside():
    rows, weight, bias = normal(0, 20, 6), normal(1, 5, 6), normal(2, 5)
    lowered = lower(graph([node("Gemm", ["x", "w", "b"], "y", transB=1)], {"w": weight, "b": bias}, {"x": ["n", 6]}))
    made = plan(lowered, observe(lowered, [{"x": rows}]), Quantization(rules=(INT8,)))
    int8 = apply(lowered, made)
    assert operators(int8) == ["QuantizeLinear", "MatMulIntegerToFloat"]
    require_emulated(made.linears[0], rows, run(int8, {"x": rows})["y"])


@pytest.mark.parametrize("smoothing", [(), (SMOOTH,)], ids=["plain", "search"])
@pytest.mark.parametrize("value", [0, -3.75, 1e-38, 1e30])
def test_a_constant_activation_comes_out_finite(value, smoothing):
    table, weight = np.full((40, 6), value, np.float32), normal(1, 6, 5)
    output = run(quantized(lookup(table, weight), INT8, *smoothing)[1], {"ids": IDS})["y"]
    assert np.isfinite(output).all()
    np.testing.assert_allclose(output, table[IDS] @ weight, rtol=1e-3, atol=1e-30)  # the bias holds the whole error


def test_a_column_without_weights_gives_its_bias():
    weight, bias = normal(1, 6, 5), normal(2, 5)
    weight[:, 2] = 0
    output = run(quantized(lookup(normal(0, 40, 6), weight, bias), INT8)[1], {"ids": IDS})["y"]
    assert np.isfinite(output).all()
    assert np.unique(output[..., 2]).tolist() == [bias[2]]


def test_embedding_rows_are_s8_times_their_scale():
    table = normal(0, 40, 6) * np.logspace(-3, 3, 40, dtype=np.float32)[:, None]
    table[7] = 0
    made, int8 = quantized(lookup(table, normal(1, 6, 5)), TABLES)
    assert sorted(operators(int8)) == ["Cast", "Gather", "Gather", "MatMul", "Mul"]
    rows = made.embeddings[0].rows
    restored = rows.values.astype(np.float32) * rows.scale[:, None]
    assert "table" not in int8.graph.initializers  # the float table is gone
    assert held(int8, "table.s8").dtype == np.int8
    int8.graph.outputs.append(next(each.outputs[0] for each in int8.graph if each.op_type == "Mul"))
    int8.graph.outputs[1].type = ir.TensorType(ir.DataType.FLOAT)
    np.testing.assert_array_equal(run(int8, {"ids": IDS})["x"], restored[IDS])


def test_an_int8_layer_on_int8_rows():
    table = normal(0, 40, 6)
    made, int8 = quantized(lookup(table, normal(1, 6, 5)), INT8, TABLES)
    rows = made.embeddings[0].rows
    require_emulated(
        made.linears[0], (rows.values * rows.scale[:, None]).astype(np.float32)[IDS], run(int8, {"ids": IDS})["y"]
    )


def test_applying_nothing_computes_the_same():
    model = lookup(normal(0, 40, 6), normal(1, 6, 5), normal(2, 5))
    made, same = quantized(model)
    assert made.linears[0].int8 is None
    np.testing.assert_array_equal(run(same, {"ids": IDS})["y"], run(model, {"ids": IDS})["y"])


def test_the_lowered_graph_is_left_as_it_was_and_twice_is_the_same(bert):
    lowered, ranges, _ = bert
    before = serialized(lowered.model)
    made = plan(lowered, ranges, Quantization(rules=(INT8, SMOOTH, TABLES)))
    first = serialized(apply(lowered, made))
    assert serialized(lowered.model) == before
    assert serialized(apply(lowered, made)) == first
    assert len(first) < len(before) / 2.5


def test_inner_shapes_are_dropped_and_outer_ones_kept(bert):
    lowered, ranges, _ = bert
    int8 = apply(lowered, plan(lowered, ranges, Quantization(rules=(INT8, TABLES))))
    inner = [value for each in int8.graph for value in each.outputs if not value.is_graph_output()]
    assert len(inner) > 20
    assert all(value.shape is None and value.type is None for value in inner)
    assert all(value.shape is not None for value in (*int8.graph.inputs, *int8.graph.outputs))
    assert [value.name for value in int8.graph.outputs] == [value.name for value in lowered.model.graph.outputs]
    assert (int8.producer_name, int8.opset_imports["com.microsoft"]) == ("edgequant", 1)


def test_bert_in_int8_is_close_to_float(bert):
    lowered, ranges, feeds = bert
    int8 = apply(lowered, plan(lowered, ranges, Quantization(rules=(INT8, SMOOTH, TABLES))))
    exact, found = (next(iter(run(model, feeds[0]).values())) for model in (lowered.model, int8))
    assert not np.array_equal(exact, found)
    norms = np.linalg.norm(exact, axis=-1) * np.linalg.norm(found, axis=-1)
    assert ((exact * found).sum(-1) / norms).min() > 0.99


@pytest.mark.parametrize("target", ["x86-avx2", "arm64-neon"])
def test_on_avx2_no_pair_of_weights_can_saturate(bert, target):
    lowered, ranges, _ = bert
    int8 = apply(lowered, plan(lowered, ranges, load_recipe(target).quantization))
    weights = [held(int8, name) for name in int8.graph.initializers if name.endswith(".weight_s8")]
    # Query, key and value are one layer of 128 x 384; attention.output has 16384 weights and stays float.
    assert len(weights) == 3 * 2
    assert {pair_bound_holds(values) for values in weights} == {target == "x86-avx2"}


def test_merged_siblings_get_their_corrected_bias(bert):
    lowered, ranges, _ = bert
    made = plan(lowered, ranges, Quantization(rules=(INT8,)))
    int8 = apply(lowered, made)
    for item in made.linears:
        matmul = next(each for each in int8.graph if each.name == item.linear.name)
        np.testing.assert_array_equal(matmul.inputs[6].const_value.numpy(), item.int8.bias)


@pytest.mark.parametrize("taken", ["x.scale", "n.y.bias", "n.y.weight_scale"])
def test_names_that_the_float_graph_has_already(taken):
    table = normal(0, 40, 6)
    nodes = [
        node("Gather", ["table", "ids"], "x"),
        node("MatMul", ["x", "w"], "y"),
        node("Add", ["x", taken], "z"),
    ]
    other = np.full({"x.scale": ()}.get(taken, 6), 7, np.float32)
    constants = {"table": table, "w": normal(1, 6, 6), taken: other}
    made, int8 = quantized(graph(nodes, constants, {"ids": ["batch", "length"]}, ["y", "z"]), INT8)
    found = run(int8, {"ids": IDS})
    np.testing.assert_array_equal(found["z"], table[IDS] + 7)
    require_emulated(made.linears[0], table[IDS], found["y"])


def test_one_table_looked_up_twice():
    nodes = [
        node("Gather", ["table", "ids"], "a"),
        node("Sub", ["last", "ids"], "mirrored"),
        node("Gather", ["table", "mirrored"], "b"),
        node("Sub", ["a", "b"], "y"),
    ]
    model = graph(nodes, {"table": normal(0, 40, 6), "last": np.array(39)}, {"ids": ["batch", "length"]})
    made, int8 = quantized(model, TABLES)
    rows = made.embeddings[0].rows
    restored = rows.values.astype(np.float32) * rows.scale[:, None]
    np.testing.assert_array_equal(run(int8, {"ids": IDS})["y"], restored[IDS] - restored[39 - IDS])
    tables = [value.const_value for value in int8.graph.initializers.values() if value.const_value.shape == (40, 6)]
    assert [tensor.dtype for tensor in tables] == [ir.DataType.INT8]  # once, not twice


def test_a_table_that_a_product_needs_too():
    """Tied weights: what is multiplied with keeps its own numbers, and the lookup takes the s8 rows."""
    nodes = [
        node("Gather", ["table", "ids"], "x"),
        node("Transpose", ["table"], "t", perm=[1, 0]),
        node("MatMul", ["x", "t"], "y"),
    ]
    table = normal(0, 40, 6)
    made, int8 = quantized(graph(nodes, {"table": table}, {"ids": ["batch", "length"]}), INT8, TABLES)
    rows = made.embeddings[0].rows
    restored = (rows.values * rows.scale[:, None]).astype(np.float32)
    require_emulated(made.linears[0], restored[IDS], run(int8, {"ids": IDS})["y"])


def test_a_sentence_does_not_depend_on_its_batch(bert):
    lowered, ranges, feeds = bert
    int8 = apply(lowered, plan(lowered, ranges, Quantization(rules=(INT8, TABLES))))
    (together,) = run(int8, feeds[0]).values()
    assert len(together) > 3
    for number in range(3):
        (alone,) = run(int8, {name: values[number : number + 1] for name, values in feeds[0].items()}).values()
        np.testing.assert_allclose(alone[0], together[number], rtol=0, atol=1e-4)
