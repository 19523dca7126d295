"""Constants of a graph, read and made."""

import math

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

HALF_PRECISION = 2e-4  # relative: what rounding a constant to float16 may change


def constant(value: ir.Value | None) -> npt.NDArray[np.generic] | None:
    """Return what an initializer or a Constant node holds, or None for anything that is computed."""
    tensor = None if value is None or value.is_graph_input() else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """Return the one finite number that a constant holds, or None."""
    array = constant(value)
    if array is None or array.size != 1 or array.dtype.kind not in "fiu":
        return None
    number = float(array.reshape(-1)[0])
    return number if math.isfinite(number) else None


def is_scalar(value: ir.Value | None, *expected: float) -> bool:
    """Tell whether a value is a constant that equals one of some numbers, to within float16."""
    number = scalar(value)
    return number is not None and any(math.isclose(number, one, rel_tol=HALF_PRECISION) for one in expected)


def integers(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the whole numbers that a constant holds, or None."""
    array = constant(value)
    return None if array is None or array.dtype.kind != "i" else tuple(map(int, array.reshape(-1)))


def initializer(graph: ir.Graph, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
    """Return a new initializer of the graph, called ``name`` or, where that is taken, something like it."""
    free = name
    while free in graph.initializers:
        free += "_"
    value = ir.val(free, const_value=ir.tensor(np.ascontiguousarray(array), name=free))
    graph.register_initializer(value)
    return value
