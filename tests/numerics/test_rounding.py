import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.numerics.rounding import compensate
from toolkit.numerics.weights import dequantize, pair_bound_holds, quantize_columns


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def moment(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float64).T @ rows / len(rows)


@pytest.mark.parametrize("weight_range", ["full", "pair"])
@pytest.mark.parametrize("inner", [16, 129, 300])
def test_errors_make_up_for_each_other(inner, weight_range):
    rows, weight = normal(0, 900, 8) @ normal(1, 8, inner) + normal(2, 900, inner) / 4, normal(3, inner, 7)
    plain = quantize_columns(weight, weight_range)
    made = compensate(weight, plain, moment(rows), weight_range)
    errors = [np.linalg.norm(rows @ (dequantize(each) - weight)) for each in (made, plain)]
    assert errors[0] < errors[1] / 1.5
    np.testing.assert_array_equal(made.scale, plain.scale)


def test_without_correlation_it_is_plain_rounding():
    weight = normal(3, 20, 7)
    plain = quantize_columns(weight, "full")
    np.testing.assert_array_equal(compensate(weight, plain, np.eye(20), "full").values, plain.values)


def test_rows_of_zeros_stay_zeros():
    weight, rows = normal(3, 20, 7), normal(0, 100, 3) @ normal(1, 3, 20)
    weight[[4, 19]] = 0
    values = compensate(weight, quantize_columns(weight, "pair"), moment(rows), "pair").values
    assert not values[[4, 19]].any()


@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from(["pair", "full", "reduced"]), st.floats(0, 30))
@settings(deadline=None, max_examples=40)
def test_the_range_holds_whatever_the_inputs(seed, inner, weight_range, spread):
    weight = normal(seed, inner, 5) * np.exp(spread * normal(seed + 1, inner, 1)).clip(1e-20, 1e20)
    rows = normal(seed + 2, 30, 2) @ normal(seed + 3, 2, inner)
    values = compensate(weight, quantize_columns(weight, weight_range), moment(rows), weight_range).values
    assert np.abs(values.astype(int)).max() <= (64 if weight_range == "reduced" else 127)
    assert weight_range == "full" or pair_bound_holds(values)


def test_inputs_that_are_all_zero_round_plainly():
    weight = normal(3, 8, 4)
    plain = quantize_columns(weight, "pair")
    np.testing.assert_array_equal(compensate(weight, plain, np.zeros((8, 8)), "pair").values, plain.values)
