import numpy as np
import pytest

from tests.graphs import graph, node, operators, run
from toolkit.lower import Lowered, lower

RNG = np.random.default_rng(0)
HIDDEN, HEADS = 32, 4
PARAMETERS = {
    "scale": RNG.normal(1, 0.1, HIDDEN),
    "shift": RNG.normal(0, 0.1, HIDDEN),
    "bias": RNG.normal(0, 0.1, HIDDEN),
    "qkv": RNG.normal(0, 0.3, (HIDDEN, 3 * HIDDEN)),
    "qkv_bias": RNG.normal(0, 0.3, 3 * HIDDEN),
    "words": RNG.normal(0, 1, (20, HIDDEN)),
    "places": RNG.normal(0, 1, (16, HIDDEN)),
    "kinds": RNG.normal(0, 1, (2, HIDDEN)),
    "w": RNG.normal(0, 0.3, (HIDDEN, HIDDEN)),
}
CONSTANTS = {name: array.astype(np.float32) for name, array in PARAMETERS.items()}
X = RNG.normal(0, 1, (2, 5, HIDDEN)).astype(np.float32)
ROWS = {"x": ["batch", "length", HIDDEN]}
MASKED = ROWS | {"m": ["batch", "length"]}
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.float32)
LONG = [node("Cast", ["m"], "mask", to=6)]


def fused(kind, inputs, output="y", **attributes):
    return node(kind, inputs, output, domain="com.microsoft", **attributes)


def attention(*inputs, **attributes):
    return fused("Attention", ["x", "qkv", "qkv_bias", *inputs], num_heads=HEADS, **attributes)


def check(model, feed) -> Lowered:
    model.opset_imports["com.microsoft"] = 1
    found = lower(model)
    for name, expected in run(model, feed).items():
        np.testing.assert_allclose(run(found.model, feed)[name], expected, rtol=0, atol=1e-5)
    return found


@pytest.mark.parametrize(
    ("nodes", "feed"),
    [
        ([attention()], {"x": X}),
        ([attention(scale=0.2)], {"x": X}),
        ([*LONG, attention("mask")], {"x": X, "m": MASK}),
        ([*LONG, attention("mask", mask_filter_value=-1e4)], {"x": X, "m": MASK}),
        ([*LONG, node("ReduceSum", ["mask", "one"], "n", keepdims=0), attention("n")], {"x": X, "m": MASK}),
        ([attention(qkv_hidden_sizes=[HIDDEN] * 3)], {"x": X}),
    ],
)
def test_attention_is_taken_apart(nodes, feed):
    found = check(graph(nodes, CONSTANTS | {"one": np.array([1])}, MASKED if "m" in feed else ROWS), feed)
    assert [linear.weight.shape for linear in found.linears] == [(HIDDEN, 3 * HIDDEN)]
    assert "Attention" not in operators(found.model)


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([attention(unidirectional=1)], "it is causal or rotary attention"),
        (
            [
                node("Unsqueeze", ["m", "one"], "wide"),
                node("Tile", ["wide", "times"], "t"),
                node("Cast", ["t"], "mask", to=6),
                attention("mask"),
            ],
            "its mask is neither [batch, sequence] nor [batch]",
        ),
    ],
)
def test_other_attention_stays_and_says_why(nodes, reason):
    constants = CONSTANTS | {"one": np.array([1]), "times": np.array([1, 5, 1])}
    found = check(graph(nodes, constants, MASKED), {"x": X, "m": MASK})
    assert f"n.y: {reason}" in found.unquantized


def test_computed_weights_stay():
    model = graph(
        [node("Neg", ["w"], "n"), fused("Attention", ["x", "n", "b"], num_heads=1)],
        {},
        ROWS | {"w": [32, 96], "b": [96]},
    )
    feed = {"x": X, "w": CONSTANTS["qkv"], "b": CONSTANTS["qkv_bias"]}
    assert "Attention" in operators(check(model, feed).model)


def test_normalization_with_a_skip():
    for inputs in (["x", "r", "scale", "shift", "bias"], ["x", "r", "scale", "shift"], ["x", "r", "scale"]):
        nodes = [node("Neg", ["x"], "r"), fused("SkipLayerNormalization", inputs, epsilon=1e-5)]
        found = check(graph(nodes, CONSTANTS, ROWS), {"x": X})
        assert operators(found.model)[-1] == "LayerNormalization"


def test_the_sum_of_a_normalization_with_a_skip():
    both = fused("SkipLayerNormalization", ["x", "r", "scale", "shift"])
    both.output[:] = ["y", "", "", "z"]
    found = check(graph([node("Neg", ["x"], "r"), both], CONSTANTS, ROWS, ("y", "z")), {"x": X})
    assert "SkipLayerNormalization" not in operators(found.model)


@pytest.mark.parametrize("kind", ["BiasGelu", "FastGelu"])
def test_gelu_with_a_bias(kind):
    found = check(graph([fused(kind, ["x", "bias"])], CONSTANTS, ROWS), {"x": X})
    assert operators(found.model) == ["Add", kind.removeprefix("Bias")]
    assert (
        len(
            check(
                graph([node("MatMul", ["x", "w"], "p"), fused(kind, ["p", "bias"])], CONSTANTS, ROWS), {"x": X}
            ).linears
        )
        == 1
    )


@pytest.mark.parametrize("attributes", [{"alpha": 0.125}, {"transB": 1}])
def test_a_fused_product_by_a_weight(attributes):
    found = check(graph([fused("FusedMatMul", ["x", "w"], **attributes)], CONSTANTS, ROWS), {"x": X})
    assert len(found.linears) == 1


@pytest.mark.parametrize(
    ("inputs", "attributes", "reason"),
    [(["x", "x"], {"transB": 1, "alpha": 0.5}, ""), (["x", "w"], {"transA": 1}, "n.y: its activation is transposed")],
)
def test_another_fused_product_stays(inputs, attributes, reason):
    model = graph([fused("FusedMatMul", inputs, **attributes)], CONSTANTS, {"x": ["batch", HIDDEN, HIDDEN]})
    found = check(model, {"x": RNG.normal(0, 1, (2, HIDDEN, HIDDEN)).astype(np.float32)})
    assert "".join(found.unquantized) == reason


@pytest.mark.parametrize("kinds", [True, False])
def test_embeddings_are_taken_apart(kinds):
    ids = {"ids": ["batch", "length"]}
    inputs = ["i", "t" if kinds else "", "words", "places", "kinds" if kinds else "", "scale", "shift", "i"]
    whole = fused("EmbedLayerNormalization", inputs, epsilon=1e-5)
    whole.output.append("lengths")
    nodes = [node("Cast", ["ids"], "i", to=6), node("Clip", ["i", "zero", "one"], "t"), whole]
    nodes.append(node("Cast", ["lengths"], "z", to=1))
    constants = CONSTANTS | {"zero": np.array(0, np.int32), "one": np.array(1, np.int32)}
    found = check(graph(nodes, constants, ids, ("y", "z")), {"ids": np.array([[3, 1, 0, 1], [1, 1, 5, 19]])})
    assert {embedding.name for embedding in found.embeddings} == ({"words", "kinds"} if kinds else {"words"})


def test_embeddings_by_places_that_are_fed():
    inputs = ["i", "", "words", "places", "", "scale", "shift", "", "i"]
    whole = fused("EmbedLayerNormalization", inputs)
    whole.output.append("lengths")
    nodes = [node("Cast", ["ids"], "i", to=6), whole]
    found = check(
        graph(nodes, CONSTANTS, {"ids": ["batch", "length"]}), {"ids": np.array([[3, 1, 0, 1], [1, 1, 5, 15]])}
    )
    assert {embedding.name for embedding in found.embeddings} == {"words", "places"}
