import itertools

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolkit.numerics.weights import PEAK, Weights, dequantize, pair_bound_holds, quantize_columns

RANGES = ("full", "pair", "reduced")
LARGEST = float(np.finfo(np.float32).max)
TINY = float(np.finfo(np.float32).tiny)
ELEMENTS = st.one_of(
    st.just(0.0),
    st.floats(-1, 1, width=32),
    st.sampled_from([1.0, -1.0, 1e-45, -1e-45, TINY, 1e-30, 3e4, -3e4, LARGEST, -LARGEST]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
MATRICES = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9), elements=ELEMENTS)


def extremes_of_pairs(values: np.ndarray) -> tuple[int, int]:
    """Return the least and the largest sum of a pair of products: a linear sum peaks at corners of [0, 255]²."""
    rows = [*values.astype(int), *([np.zeros(values.shape[1], int)] * (len(values) % 2))]
    sums = [
        a * one + b * two
        for one, two in zip(rows[0::2], rows[1::2], strict=True)
        for a, b in itertools.product((0, 255), repeat=2)
    ]
    return int(np.min(sums)), int(np.max(sums))


def vpmaddubsw_sums(inputs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return u8 [M, K] @ s8 [K, N] as AVX2 kernels add: neighbouring products in 16 bits with saturation."""
    odd = values.shape[0] % 2
    a = np.pad(inputs.astype(np.int64), ((0, 0), (0, odd)))
    w = np.pad(values.astype(np.int64), ((0, odd), (0, 0)))
    products = a[:, :, None] * w[None]
    pairs = np.clip(products[:, 0::2] + products[:, 1::2], -(2**15), 2**15 - 1)
    return pairs.sum(1)


def exact_sums(inputs: np.ndarray, values: np.ndarray) -> np.ndarray:
    return inputs.astype(np.int64) @ values.astype(np.int64)


@given(MATRICES)
@example(np.zeros((3, 2), np.float32))
@example(np.ones((1, 1), np.float32))
@example(np.full((2, 1), LARGEST, np.float32))
@example(np.full((5, 3), 1e-45, np.float32))
@example(np.array([[1.0], [1e-7], [-1.0], [-1.0], [0.0]], np.float32))
@settings(deadline=None, max_examples=300)
def test_no_pair_leaves_16_bits_whatever_the_weights(weight):
    values = quantize_columns(weight, "pair").values
    least, largest = extremes_of_pairs(values)
    assert least >= -(2**15)
    assert largest <= 2**15 - 1
    assert pair_bound_holds(values)


def test_corners_of_the_inputs_are_the_worst_case():
    a, b = np.meshgrid(np.arange(256), np.arange(256))
    for one, two in ((127, 1), (64, 64), (-128, 0), (127, -128), (-64, -64), (-127, 90)):
        sums = a * one + b * two
        assert extremes_of_pairs(np.array([[one], [two]])) == (sums.min(), sums.max())


@given(MATRICES, st.sampled_from(RANGES))
@settings(deadline=None, max_examples=300)
def test_every_scale_is_a_positive_number_and_no_weight_is_off_by_more_than_half_of_it(weight, weight_range):
    found = quantize_columns(weight, weight_range)
    assert (found.values.dtype, found.scale.dtype) == (np.int8, np.float32)
    assert (found.values.shape, found.scale.shape) == (weight.shape, (weight.shape[1],))
    assert np.isfinite(found.scale).all()
    assert (found.scale > 0).all()
    assert np.abs(found.values.astype(int)).max() <= PEAK[weight_range]
    restored = found.values.astype(np.float64) * found.scale.astype(np.float64)
    assert (np.abs(restored - weight) <= found.scale.astype(np.float64) / 2 * (1 + 1e-9)).all()


@given(MATRICES)
@settings(deadline=None)
def test_every_column_uses_the_full_range_by_itself(weight):
    peaks = np.abs(weight).max(0)
    assume((peaks > 127 * 1.1 * TINY).any())
    used = np.abs(quantize_columns(weight, "full").values.astype(int)).max(0)
    assert (used[peaks > 127 * 1.1 * TINY] == 127).all()
    used = np.abs(quantize_columns(weight, "reduced").values.astype(int)).max(0)
    assert (used[peaks > 127 * 1.1 * TINY] == 64).all()


@given(MATRICES)
@settings(deadline=None)
def test_pair_range_lies_between_reduced_and_full(weight):
    full, pair, reduced = (quantize_columns(weight, name).scale for name in RANGES)
    normal = np.abs(weight).max(0) > 127 * 1.1 * TINY
    assert (full <= pair)[normal].all()
    # Two equal weights of 63.75 make the worst pair: rounded, that is still at least as fine as ±63.
    assert (pair <= reduced * np.float32(64 / 63.5))[normal].all()


def test_pair_keeps_the_whole_range_where_neighbours_allow_it():
    weight = np.array([[1, 1], [-1, 1], [0.2, 0.9], [0.003, 0.9]], np.float32)
    values = quantize_columns(weight, "pair").values
    assert np.abs(values.astype(int)).max(0).tolist() == [127, 64]


@pytest.mark.parametrize("weight_range", RANGES)
def test_zero_columns_get_scale_one(weight_range):
    found = quantize_columns(np.array([[0, 3], [0, -1]], np.float32), weight_range)
    assert found.scale[0] == 1
    assert found.values[:, 0].tolist() == [0, 0]
    assert found.values[0, 1] == PEAK[weight_range]


@pytest.mark.parametrize(
    ("column", "holds"),
    [
        ([127, 1], True),
        ([127, 2], False),
        ([64, 64], True),
        ([65, 64], False),
        ([-64, -64], True),
        ([-65, -64], False),
        ([-127, 127], True),  # unlike signs never add up
        ([1, 127, 127, 0], True),  # rows 1 and 2 are in different pairs
        ([0, 1, 127], True),  # the last row of an odd number is alone
        ([0, 0, 127, 127], False),
        ([127, 127], False),
    ],
)
def test_the_bound_by_hand(column, holds):
    values = np.array(column, np.int8)[:, None]
    assert pair_bound_holds(values) is holds
    inside = extremes_of_pairs(values)
    # The bound is 128 · 255, a little stricter than 16 bits are.
    assert (inside[1] <= 128 * 255 and inside[0] >= -128 * 255) is holds


@given(hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7)))
@settings(deadline=None, max_examples=300)
def test_the_bound_means_what_it_says(values):
    least, largest = extremes_of_pairs(values)
    assert pair_bound_holds(values) is (largest <= 128 * 255 and least >= -128 * 255)


@given(MATRICES, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_avx2_sums_are_exact_under_the_bound(weight, seed):
    values = quantize_columns(weight, "pair").values
    rng = np.random.default_rng(seed)
    k = len(values)
    inputs = np.concatenate([np.full((1, k), 255), rng.integers(0, 256, (6, k)), rng.choice([0, 255], (6, k))])
    np.testing.assert_array_equal(vpmaddubsw_sums(inputs, values), exact_sums(inputs, values))


def test_avx2_sums_are_wrong_without_the_bound():
    weight = np.random.default_rng(0).normal(size=(384, 64)).astype(np.float32)
    inputs = np.full((1, 384), 255)
    full = quantize_columns(weight, "full").values
    assert not pair_bound_holds(full)
    assert (vpmaddubsw_sums(inputs, full) != exact_sums(inputs, full)).mean() > 0.5
    pair = quantize_columns(weight, "pair").values
    np.testing.assert_array_equal(vpmaddubsw_sums(inputs, pair), exact_sums(inputs, pair))


def test_pair_is_finer_than_reduced_on_normal_weights():
    weight = np.random.default_rng(1).normal(size=(384, 256)).astype(np.float32)
    used = np.abs(quantize_columns(weight, "pair").values.astype(int)).max(0)
    assert np.median(used) >= 95


def test_dequantize_by_hand():
    weights = Weights(np.array([[127, -1], [0, 2]], np.int8), np.array([0.5, 2], np.float32))
    assert dequantize(weights).tolist() == [[63.5, -2.0], [0.0, 4.0]]
    assert dequantize(weights).dtype == np.float32
