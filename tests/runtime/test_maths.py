import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolkit.runtime import arrays, maths
from toolkit.runtime.classifier import sigmoid, softmax
from toolkit.runtime.similarity import cosines

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
ROWS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=FINITE)
EXTREME = [[3.4028235e38, -3.4028235e38], [1e-45, -1e-45], [-0.0, 0.0], [88.8, -104.0], [0.0, 17.0]]


@given(st.lists(FINITE, min_size=1, max_size=30))
def test_softmax_shares_one_in_the_order_of_the_logits(row):
    shares = maths.softmax(row)
    assert math.fsum(shares) == pytest.approx(1, abs=4e-16 * len(row) + 1e-15)
    assert all(0 <= share <= 1 for share in shares)
    assert (np.diff(np.array(shares)[np.argsort(row)]) >= 0).all()


@given(st.lists(st.floats(-80, 80, width=32), min_size=1, max_size=30))
def test_softmax_is_what_the_textbook_says(row):
    powers = np.exp(np.array(row, np.longdouble))
    np.testing.assert_allclose(maths.softmax(row), (powers / powers.sum()).astype(np.float64), rtol=5e-14)


@given(st.floats(width=32, allow_nan=False))
def test_sigmoid_is_symmetric_and_never_overflows(value):
    assert 0 <= maths.sigmoid(value) <= 1
    assert maths.sigmoid(value) + maths.sigmoid(-value) == pytest.approx(1, abs=5e-16)


@given(st.floats(-700, 700))
def test_sigmoid_is_what_the_textbook_says(value):
    expected = 1 / (1 + np.exp(np.longdouble(-value)))
    assert maths.sigmoid(value) == pytest.approx(float(expected), rel=2e-15)


@given(hnp.arrays(np.float32, st.integers(1, 20), elements=st.sampled_from([-1, -0.0, 0, 0.5, 1, 3e38]) | FINITE))
def test_falling_is_a_stable_sort(row):
    assert maths.falling(row.tolist()) == np.argsort(-row, kind="stable").tolist()


@given(hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32)))
def test_finite_is_what_numpy_says(row):
    assert maths.all_finite(row.tolist()) is bool(np.isfinite(row).all())


@pytest.mark.parametrize("row", [[3.4028235e38] * 5000, [1.0, math.inf, -math.inf], [math.nan], [-math.inf], []])
def test_finite_at_the_edges(row):
    assert maths.all_finite(row) is all(map(math.isfinite, row))


@given(st.integers(1, 40).flatmap(lambda n: hnp.arrays(np.float32, (2, n), elements=FINITE)))
def test_cosine_is_numpys(pair):
    a, b = pair
    expected = cosines(a[None], b[None])[0]
    assert maths.cosine(a.tolist(), b.tolist()) == pytest.approx(expected, abs=1e-9)


def test_cosine_of_nothing():
    assert maths.cosine([0.0, 0.0], [0.0, 0.0]) == 1
    assert maths.cosine([0.0, 0.0], [0.0, 1.0]) == 0


@given(ROWS)
def test_the_same_bits_with_and_without_numpy(logits):
    with_numpy = [softmax(logits).tobytes(), sigmoid(logits).tobytes()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "numpy_module", lambda: None)
        plain = arrays.floats(bytearray(logits.tobytes()), logits.shape)
        assert isinstance(plain, arrays.FloatRows)
        assert [softmax(plain).tobytes(), sigmoid(plain).tobytes()] == with_numpy


@pytest.mark.parametrize("row", EXTREME)
def test_float32_is_rounded_to_the_nearest(row):
    expected = np.array(maths.softmax(row), np.float32)
    assert softmax(np.array([row], np.float32)).tobytes() == expected.tobytes()
