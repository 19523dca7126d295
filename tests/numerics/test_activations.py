import functools

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper

from toolkit.numerics.activations import Affine, affine_u8, dequantize_u8, quantize_u8

BOUNDS = st.one_of(
    st.floats(-100, 100, width=32),
    st.floats(-(2.0**122), 2.0**122, width=32),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1e-28, 1e-29, 1e-20]),
)
POWERS = st.sampled_from([2.0**-20, 2.0**-3, 1.0, 2.0, 2.0**40])
ZERO_POINTS = st.integers(0, 255)


@functools.cache
def session() -> ort.InferenceSession:
    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero_point"], ["y"])
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("scale", TensorProto.FLOAT, []),
        helper.make_tensor_value_info("zero_point", TensorProto.UINT8, []),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.UINT8, ["n"])]
    model = helper.make_model(
        helper.make_graph([node], "test", inputs, outputs), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def by_onnxruntime(values: np.ndarray, affine: Affine) -> np.ndarray:
    feed = {"x": values, "scale": np.array(affine.scale), "zero_point": np.array(affine.zero_point)}
    return np.asarray(session().run(None, feed)[0])


def steps(count: int = 37) -> st.SearchStrategy[np.ndarray]:
    """Values as multiples of the scale, halves among them; 37 of them reach the vector loop and the tail of MLAS."""
    multiples = st.one_of(
        st.integers(-520, 520).map(lambda number: number / 2), st.floats(-600, 600), st.floats(-1e6, 1e6)
    )
    return hnp.arrays(np.float64, count, elements=multiples)


@given(steps(), POWERS, ZERO_POINTS)
@settings(deadline=None, max_examples=200)
def test_equals_onnxruntime_where_halves_are_exact(multiples, scale, zero_point):
    affine = Affine(np.float32(scale), np.uint8(zero_point))
    values = (multiples * scale).astype(np.float32)
    np.testing.assert_array_equal(quantize_u8(values, affine), by_onnxruntime(values, affine))


@given(steps(), BOUNDS, BOUNDS)
@settings(deadline=None, max_examples=200)
@example(np.zeros(37), 0.0, 0.0)
@example(np.linspace(-1, 256, 37), -5.0, -5.0)
@example(np.linspace(-1, 256, 37), 0.0, 1e-29)
@example(np.linspace(-1, 256, 37), -1e-45, 1e-45)
def test_equals_onnxruntime_on_any_range(multiples, low, high):
    low, high = min(low, high), max(low, high)
    affine = affine_u8(low, high)
    ends = np.array([low, high, 0, -0.0], np.float32)
    values = np.concatenate([(multiples * float(affine.scale)).clip(-3e38, 3e38).astype(np.float32), ends])
    np.testing.assert_array_equal(quantize_u8(values, affine), by_onnxruntime(values, affine))


@given(BOUNDS, BOUNDS)
@settings(deadline=None, max_examples=300)
def test_scale_is_positive_and_zero_is_exact(low, high):
    affine = affine_u8(low, high)
    assert affine.scale.dtype == np.float32
    assert np.isfinite(affine.scale)
    assert np.isfinite(1 / affine.scale)
    assert affine.scale > 0
    assert isinstance(affine.zero_point, np.uint8)
    zero = quantize_u8(np.zeros(1, np.float32), affine)
    assert zero[0] == affine.zero_point
    assert dequantize_u8(zero, affine)[0] == 0


@given(BOUNDS, BOUNDS, hnp.arrays(np.float64, 16, elements=st.floats(0, 1)))
@settings(deadline=None, max_examples=200)
def test_what_lies_inside_the_range_is_off_by_half_a_step_at_most(low, high, places):
    low, high = min(low, high), max(low, high)
    affine = affine_u8(low, high)
    inside = np.concatenate([low + places * (high - low), [low, high]])
    values = inside.clip(low, high).astype(np.float32)
    restored = dequantize_u8(quantize_u8(values, affine), affine)
    assert np.abs(restored.astype(np.float64) - values).max() <= 0.5001 * float(affine.scale)


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        (0, 255, 1, 0),
        (-255, 0, 1, 255),
        (-128, 127, 1, 128),
        (-1, 254, 1, 1),
        (10, 510, 2, 0),  # widened to 0
        (-510, -10, 2, 255),
        (5.1, 5.1, 0.02, 0),  # a constant
        (-5.1, -5.1, 0.02, 255),
        (0, 0, 1, 0),  # nothing was ever there
        (0, 1e-40, 1, 0),  # too small for a scale whose reciprocal is finite
    ],
)
def test_by_hand(low, high, scale, zero_point):
    assert affine_u8(low, high) == Affine(np.float32(scale), np.uint8(zero_point))


def test_halves_go_to_the_even_neighbour_and_the_ends_saturate():
    values = np.array([0.5, 1.5, 2.5, -0.5, -9, 300], np.float32)
    assert quantize_u8(values, Affine(np.float32(1), np.uint8(3))).tolist() == [3, 5, 5, 3, 0, 255]
