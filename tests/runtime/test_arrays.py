import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from toolkit.runtime import arrays
from toolkit.runtime.arrays import FloatRows, flat, float_bytes, floats, from_rows, ints

SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=5)


def plain(values: np.ndarray) -> FloatRows:
    return FloatRows(memoryview(bytearray(values.tobytes())).cast("f"), values.shape)


@given(hnp.arrays(np.float32, SHAPES))
def test_rows_read_as_numpys_do(values):
    rows = plain(values)
    assert rows.shape == values.shape
    assert len(rows) == len(values)
    assert rows.tobytes() == values.tobytes()
    assert [row.tobytes() for row in rows] == [row.tobytes() for row in values]
    assert repr(rows.tolist()) == repr(values.tolist())
    assert rows[-1].tobytes() == values[-1].tobytes()
    assert rows[1:3].tobytes() == values[1:3].tobytes()
    assert rows[1:3].shape == values[1:3].shape
    assert flat(rows).tobytes() == flat(values).tobytes()
    assert bytes(float_bytes(rows)) == bytes(float_bytes(values))


def test_rows_that_are_not_there():
    rows = plain(np.zeros((2, 3), np.float32))
    with pytest.raises(IndexError):
        rows[2]
    with pytest.raises(ValueError, match="steps of 1 only, not -1"):
        rows[::-1]
    assert len(rows[5:]) == 0
    assert repr(rows[:1]) == "FloatRows([[0.0, 0.0, 0.0]])"


def test_no_rows_at_all(monkeypatch):
    assert floats(bytearray(), (0, 4)).shape == (0, 4)
    monkeypatch.setattr(arrays, "numpy_module", lambda: None)
    empty = floats(bytearray(), (0, 4))
    assert (len(empty), empty.shape, empty.tolist(), empty.tobytes()) == (0, (0, 4), [], b"")
    assert from_rows([], 4).shape == (0, 4)


def test_ints_with_and_without_numpy(monkeypatch):
    rows = [[1, -2, 2**62], [0, 5, 6]]
    with_numpy = ints(rows, (2, 3))
    assert (with_numpy.dtype, with_numpy.tolist()) == (np.int64, rows)
    monkeypatch.setattr(arrays, "numpy_module", lambda: None)
    without = ints(rows, (2, 3))
    assert isinstance(without, memoryview)
    assert (without.format, without.shape, without.tolist()) == ("q", (2, 3), rows)


def test_arrays_that_do_not_lie_in_one_piece():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert bytes(float_bytes(values[:, ::2])) == values[:, ::2].tobytes()
