import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.metrics import accuracy, average_ranks, macro_f1, spearman
from toolkit.runtime.similarity import cosines


def f64(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def f32(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_cosines_of_right_same_opposite_and_diagonal():
    a = f32((1, 0), (1, 0), (1, 0), (1, 0))
    b = f32((0, 5), (3, 0), (-2, 0), (1, 1))
    np.testing.assert_allclose(cosines(a, b), [0, 1, -1, math.sqrt(0.5)], rtol=0, atol=1e-15)


def test_zero_rows_are_alike_only_to_zero_rows():
    assert cosines(f32((0, 0), (0, 0), (1, 2)), f32((0, 0), (1, 2), (0, 0))).tolist() == [1, 0, 0]


def test_large_rows_do_not_overflow():
    big = f32((3e38, 3e38))
    np.testing.assert_allclose(cosines(big, -big), [-1])


def test_a_row_that_is_no_number_has_no_cosine():
    assert np.isnan(cosines(f32((math.nan, 1), (1, 1)), f32((1, 1), (1, 1)))).tolist() == [True, False]


def test_equal_values_share_the_mean_of_their_ranks():
    assert average_ranks(f64(10, 20, 20, 30, 5)).tolist() == [2, 3.5, 3.5, 5, 1]
    assert average_ranks(f64(7, 7, 7)).tolist() == [2, 2, 2]


def test_spearman_with_ties_by_hand():
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
    assert spearman(f64(1, 2, 2, 3), f64(10, 20, 30, 40)) == pytest.approx(math.sqrt(0.9), abs=1e-15)
    # Ranks 1, 2, 3.5, 3.5, 5 and 5, 3, 4, 1.5, 1.5: covariance -7.25, variances 9.5 and 9.5.
    assert spearman(f64(0, 1, 2, 2, 9), f64(8, 5, 6, 3, 3)) == pytest.approx(-7.25 / 9.5, abs=1e-15)


def test_spearman_sees_only_the_order():
    values = f64(0.1, 0.4, 0.2, 0.9)
    assert spearman(values, np.exp(10 * values)) == pytest.approx(1, abs=1e-15)
    assert spearman(values, -values) == pytest.approx(-1, abs=1e-15)


def test_spearman_of_a_constant_is_no_number():
    assert math.isnan(spearman(f64(1, 1, 1), f64(1, 2, 3)))
    assert math.isnan(spearman(f64(1, 2, 3), f64(0, 0, 0)))


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=20))
def test_spearman_is_symmetric_and_bounded(pairs):
    a, b = np.array(pairs, np.float64).T
    found = spearman(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert math.isnan(found)
    else:
        assert abs(found) <= 1 + 1e-12
        assert found == pytest.approx(spearman(b, a), abs=1e-12)


def test_accuracy_is_the_share_that_is_right():
    assert accuracy(i64(0, 1, 2, 2), i64(0, 1, 1, 2)) == 0.75
    assert accuracy(i64(0), i64(1)) == 0


def test_macro_f1_by_hand():
    # Class 0: 2 hits among 2 and 3, F1 4/5. Class 1: 1 among 2 and 2, F1 1/2. Class 2: predicted once, F1 0.
    assert macro_f1(i64(0, 0, 1, 1, 2), i64(0, 0, 0, 1, 1)) == pytest.approx((4 / 5 + 2 / 4 + 0) / 3)


def test_macro_f1_leaves_out_classes_that_occur_nowhere():
    assert macro_f1(i64(0, 5), i64(0, 5)) == 1
    assert macro_f1(i64(3, 3), i64(0, 0)) == 0
