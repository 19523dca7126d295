"""Numbers in and out of the model: numpy arrays where numpy is installed, plain buffers where it is not."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import numpy as np

    FloatArray = np.ndarray[Any, np.dtype[np.float32]]
    IntArray = np.ndarray[Any, np.dtype[np.int64]]
else:
    FloatArray = IntArray = object

FLOAT_BYTES = 4  # float32


class FloatRows(Sequence[Any]):
    """What stands for a float32 array ``[n, …]`` where numpy is not: the part of its interface that is used here.

    A row is a memoryview, or FloatRows of one rank less. ``buffer`` holds all numbers, row after row.
    """

    __slots__ = ("buffer", "shape")

    def __init__(self, buffer: "memoryview[float]", shape: tuple[int, ...]) -> None:
        self.buffer = buffer
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as Sequence has it: a row, or rows for a slice
        width = prod(self.shape[1:])
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"rows are sliced by steps of 1 only, not {step}")
            return FloatRows(self.buffer[start * width : stop * width], (max(0, stop - start), *self.shape[1:]))
        place = range(len(self))[index]
        row = self.buffer[place * width : (place + 1) * width]
        return row if len(self.shape) == 2 else FloatRows(row, self.shape[1:])

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self)))

    def __repr__(self) -> str:
        return f"FloatRows({self.tolist()!r})"

    def tolist(self) -> list[Any]:
        """Return nested lists of floats."""
        return [row.tolist() for row in self]

    def tobytes(self) -> bytes:
        """Return all numbers as float32 in the machine's byte order, row after row."""
        return self.buffer.tobytes()


@lru_cache(maxsize=1)
def numpy_module() -> ModuleType | None:
    """Return numpy, or None where it is not installed; imported on the first call, not before."""
    try:
        import numpy  # noqa: ICN001, PLC0415 - a start without numpy is a faster one
    except ImportError:
        return None
    return numpy


def floats(data: bytearray, shape: tuple[int, ...]) -> FloatArray:
    """Return the float32 numbers in ``data`` as an array of ``shape``, not copied; FloatRows without numpy."""
    numpy = numpy_module()
    if numpy:
        return cast(FloatArray, numpy.frombuffer(data, dtype=numpy.float32).reshape(shape))
    return cast(FloatArray, FloatRows(memoryview(data).cast("f"), shape))


def ints(rows: Iterable[Sequence[int]], shape: tuple[int, int]) -> IntArray:
    """Return rows of equal length as int64 ``shape``; a memoryview of two dimensions without numpy."""
    data = array("q")
    for row in rows:
        data.extend(row)
    numpy = numpy_module()
    if numpy:
        return cast(IntArray, numpy.frombuffer(data, dtype=numpy.int64).reshape(shape))
    return cast(IntArray, memoryview(data).cast("B").cast("q", shape))


def float_bytes(values: FloatArray) -> memoryview:
    """Return an array's bytes, row after row, not copied where they lie so."""
    if isinstance(values, FloatRows):
        return values.buffer.cast("B")
    numpy = cast(ModuleType, numpy_module())
    return memoryview(numpy.ascontiguousarray(values, dtype=numpy.float32)).cast("B")


def flat(values: FloatArray) -> FloatArray:
    """Return all numbers in one row; a memoryview without numpy."""
    return cast(FloatArray, values.buffer) if isinstance(values, FloatRows) else values.reshape(-1)


def from_rows(rows: Iterable[Iterable[float]], width: int) -> FloatArray:
    """Return float32 ``[rows, width]``, each number rounded to the nearest."""
    data: array[float] = array("f")
    for row in rows:
        data.extend(row)
    return floats(bytearray(data), (len(data) // width, width))
