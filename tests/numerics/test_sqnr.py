import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolkit.numerics.sqnr import CEILING_DB, sqnr_db

VALUES = hnp.arrays(np.float32, 8, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_by_hand():
    assert sqnr_db(row(3, 4), row(3, 4.5)) == pytest.approx(20)
    assert sqnr_db(row(1, 0), row(0, 0)) == pytest.approx(0)
    assert sqnr_db(row(1, 0), row(11, 0)) == pytest.approx(-20)


def test_no_noise_is_the_ceiling_and_no_signal_the_floor():
    assert sqnr_db(row(1, 2), row(1, 2)) == CEILING_DB
    assert sqnr_db(row(0, 0), row(0, 0)) == CEILING_DB
    assert sqnr_db(row(0, 0), row(0, 1)) == -CEILING_DB


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_gives_nan(bad):
    with np.errstate(invalid="ignore"):
        assert math.isnan(sqnr_db(row(1, bad), row(1, 2)))
        assert math.isnan(sqnr_db(row(1, 2), row(1, bad)))
        assert math.isnan(sqnr_db(row(1, bad), row(1, bad)))


@given(VALUES, VALUES)
@settings(deadline=None)
def test_finite_numbers_of_any_size_give_a_number_within_the_bounds(reference, measured):
    assert -CEILING_DB <= sqnr_db(reference, measured) <= CEILING_DB


@given(st.integers(0, 2**32 - 1), st.integers(-30, 30))
@settings(deadline=None)
def test_the_unit_does_not_matter(seed, power):
    rng = np.random.default_rng(seed)
    reference, noise = rng.normal(size=(2, 50)).astype(np.float32)
    measured = reference + np.float32(0.1) * noise
    unit = np.float32(2.0**power)
    assert sqnr_db(reference * unit, measured * unit) == pytest.approx(sqnr_db(reference, measured), abs=1e-9)
