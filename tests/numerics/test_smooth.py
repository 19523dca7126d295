import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolkit.numerics.smooth import ALPHAS, FLOOR, smoothing_factors

ALPHA = st.floats(0, 1)


def peaks(low: float, high: float, count: int = 12) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float32, count, elements=st.floats(low, high, width=32))


@given(peaks(0.5, 2), peaks(0.5, 2), ALPHA)
@settings(deadline=None)
def test_geometric_mean_is_one(activation, weight, alpha):
    factors = smoothing_factors(activation, weight, alpha)
    assert factors.dtype == np.float32
    assert np.log(factors.astype(np.float64)).mean() == pytest.approx(0, abs=1e-6)


@given(peaks(0, 2.0**127), peaks(0, 2.0**127), st.sampled_from(ALPHAS))
@settings(deadline=None)
def test_factors_are_finite_and_never_under_the_floor(activation, weight, alpha):
    factors = smoothing_factors(activation, weight, alpha)
    assert np.isfinite(factors).all()
    assert (factors >= np.float32(0.05)).all()


def test_equation_4_by_hand():
    factors = smoothing_factors(np.array([4, 1], np.float32), np.array([1, 4], np.float32), 0.5)
    np.testing.assert_allclose(factors, [2, 0.5], rtol=1e-6)  # sqrt(4 / 1) and sqrt(1 / 4)


def test_alpha_one_takes_it_all_from_the_activation_and_alpha_zero_from_the_weight():
    activation, weight = np.array([8, 2], np.float32), np.array([3, 12], np.float32)
    np.testing.assert_allclose(smoothing_factors(activation, weight, 1), [2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(smoothing_factors(activation, weight, 0), [2, 0.5], rtol=1e-6)


def test_a_zero_channel_counts_as_the_floor():
    some = np.array([1, 2, 3, 4], np.float32)
    for zero, floor in ((0.0, FLOOR), (FLOOR / 10, FLOOR)):
        dead, alive = some.copy(), some.copy()
        dead[1], alive[1] = zero, floor
        np.testing.assert_array_equal(smoothing_factors(dead, some, 0.7), smoothing_factors(alive, some, 0.7))
        np.testing.assert_array_equal(smoothing_factors(some, dead, 0.7), smoothing_factors(some, alive, 0.7))


@given(st.integers(0, 2**32 - 1), st.sampled_from(ALPHAS))
@settings(deadline=None, max_examples=30)
def test_the_product_stays_the_same(seed, alpha):
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(5, 16)) * rng.uniform(0.1, 30, 16), rng.normal(size=(16, 4))
    s = smoothing_factors(np.abs(x).max(0).astype(np.float32), np.abs(w).max(1).astype(np.float32), alpha)
    np.testing.assert_allclose((x / s) @ (s[:, None] * w), x @ w, rtol=1e-9, atol=1e-9)
