"""The feeds that travel in a bundle of arrays, so that a device can prove that it computes what was built."""

from toolkit.graphs.feeds import Feeds
from toolkit.runtime.tensor_golden import Row
from toolkit.runtime.tensors import TensorModel, finite

MOST_ROWS, MOST_BYTES = 4, 1 << 20
MIN_SQNR_DB = 20.0
"""Between kernels that are both right, as a cosine of .995 is between texts' vectors: golden.MIN_COSINE."""


def golden_rows(model: TensorModel, calibration: Feeds) -> list[Row]:
    """Return the first calibration feeds, as many as fit but at least one, and what the int8 model gives for them.

    They are of the calibration set: no sample that the gate judges by leaves the build machine.
    """
    rows: list[Row] = []
    size = 0
    for feed in calibration:
        outputs = {name: array for name, array in model.raw(feed).items() if finite(array)}
        size += sum(array.nbytes for arrays in (feed, outputs) for array in arrays.values())
        if rows and size > MOST_BYTES:
            break
        rows.append((feed, outputs))
        if len(rows) == MOST_ROWS:
            break
    return rows
