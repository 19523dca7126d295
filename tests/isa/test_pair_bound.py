import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.errors import BundleError
from toolkit.isa.pair_bound import check_pair_bound, pair_bound

BOUNDED = np.array([[64, -127], [64, -1], [127, 127], [1, -127]], np.int8)
UNBOUNDED = np.array([[64], [65]], np.int8)


def written(folder, nodes, constants, **more):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, None)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph, **more).SerializeToString())
    return path


def product(folder, weights, kind="MatMulInteger"):
    return written(folder, [helper.make_node(kind, ["x", "w"], ["y"], name="layer")], {"w": weights})


@pytest.mark.parametrize("kind", ["MatMulInteger", "MatMulIntegerToFloat"])
def test_weights_at_the_bound_are_proven(tmp_path, kind):
    path = product(tmp_path, BOUNDED, kind)
    assert check_pair_bound(path).ok
    assert pair_bound(path).products == 1


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (UNBOUNDED, "layer: a pair of its weights exceeds 128"),
        (-UNBOUNDED, "a pair of its weights exceeds 128"),
        (np.array([1, 1, 127, 2], np.int8), "a pair of its weights exceeds 128"),
        (np.stack([BOUNDED, np.full_like(BOUNDED, 127)]), "a pair of its weights exceeds 128"),
        (BOUNDED.astype(np.int32), "its weights are int32"),
    ],
)
def test_what_may_saturate_is_refuted(tmp_path, weights, reason):
    check = check_pair_bound(product(tmp_path, weights))
    assert not check.ok
    assert reason in check.detail


@pytest.mark.parametrize("weights", [np.array([[127], [1], [127]], np.int8), np.full((8, 2), 255, np.uint8)])
def test_a_last_row_alone_and_u8_weights_are_exact(tmp_path, weights):
    assert check_pair_bound(product(tmp_path, weights)).ok


def test_weights_that_are_computed_are_not_proven(tmp_path):
    nodes = [helper.make_node("Neg", ["w"], ["v"]), helper.make_node("MatMulInteger", ["x", "v"], ["y"], name="layer")]
    assert pair_bound(written(tmp_path, nodes, {"w": BOUNDED})).refuted == (
        "layer: its weights are computed, nothing is proven about them",
    )


@pytest.mark.parametrize("kind", ["QLinearMatMul", "ConvInteger", "QAttention", "MatMulNBits"])
def test_other_int8_operators_are_not_proven(tmp_path, kind):
    found = pair_bound(product(tmp_path, BOUNDED, kind))
    assert found.refuted == (f"layer: nothing is proven about {kind}",)


def test_what_is_inside_of_others_is_not_proven(tmp_path):
    inner = helper.make_graph([helper.make_node("MatMulInteger", ["x", "w"], ["y"])], "inner", [], [])
    node = helper.make_node("If", ["c"], ["y"], name="if", then_branch=inner, else_branch=inner)
    assert pair_bound(written(tmp_path, [node], {})).refuted == ("if: what is inside of If is not looked at",)
    function = helper.make_function("d", "F", ["x"], ["y"], [], [helper.make_opsetid("", 17)])
    path = written(tmp_path, [], {}, functions=[function])
    assert "functions of its own" in pair_bound(path).refuted[0]


def test_many_are_counted(tmp_path):
    nodes = [helper.make_node("MatMulInteger", ["x", "w"], [f"y{i}"], name=f"layer{i}") for i in range(3)]
    assert check_pair_bound(written(tmp_path, nodes, {"w": UNBOUNDED})).detail.endswith(" (and 2 more)")


def test_what_is_no_model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\xff\xff")
    with pytest.raises(BundleError, match=r"the model cannot be read\n  where: .*model.onnx"):
        pair_bound(tmp_path / "model.onnx")


def dequantized(folder, weights, kind="Conv", **attributes):
    """A product of dequantized tensors: what ONNX Runtime makes QLinearConv, QGemm or QLinearMatMul of."""
    scale = {"one": np.float32(1)}
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "one"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "one"], ["wf"]),
        helper.make_node(kind, ["xf", "wf"], ["y"], name="layer", **attributes),
    ]
    return written(folder, nodes, {"w": weights, **scale})


def convolution(*places, channels=4, kernel=3):
    weights = np.zeros((1, channels, kernel, kernel), np.int8)
    for place in places:
        weights[0][place] = 127
    return weights


@pytest.mark.parametrize(
    ("weights", "bounded"),
    [
        (convolution((0, 0, 0), (1, 0, 0)), False),
        (convolution((1, 0, 0), (2, 0, 0)), True),
        (convolution((0, 0, 0), (0, 0, 1)), True),
        (convolution((3, 0, 0), (0, 0, 1)), True),
        (convolution((2, 0, 0), (0, 0, 1), channels=3), False),  # an odd number: a pair reaches over two places
    ],
)
def test_pairs_of_a_convolution_are_neighbouring_channels(tmp_path, weights, bounded):
    """As measured on masked kernels: tests/isa/test_masked.py."""
    found = pair_bound(dequantized(tmp_path, weights))
    assert found.products == 1
    assert (not found.refuted) == bounded


def test_a_transposed_gemm_and_a_dequantized_matmul(tmp_path):
    assert pair_bound(dequantized(tmp_path, UNBOUNDED.T.copy(), "Gemm", transB=1)).refuted != ()
    assert pair_bound(dequantized(tmp_path, UNBOUNDED.T.copy(), "Gemm")).refuted == ()
    assert pair_bound(dequantized(tmp_path, UNBOUNDED, "MatMul")).refuted


def test_integers_inside_a_branch_are_not_proven(tmp_path):
    inner = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["x", "one"], ["z"])], "inner", [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )  # fmt: skip
    plain = helper.make_graph([helper.make_node("Neg", ["one"], ["z"])], "plain", [], inner.output)
    for body, reasons in ((inner, 1), (plain, 0)):
        node = helper.make_node("If", ["flag"], ["y"], name="layer", then_branch=body, else_branch=body)
        path = written(tmp_path, [node], {"flag": np.array(True), "one": np.float32(1)})
        assert len(pair_bound(path).refuted) == reasons
