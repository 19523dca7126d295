"""A Gemm with factors becomes ``x @ weight + bias``.

``alpha·x'·w' + beta·c`` of a constant weight → ``Gemm(x', alpha·w') + beta·c``, with the bias inside if it is a row.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRule

from toolkit.lower.constants import constant


def pattern(op: Any, x: Any, weight: Any) -> Any:  # noqa: ANN401 - the library's
    """Return any Gemm."""
    return op.Gemm(x, weight, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=["product"])


def check(context: object, weight: ir.Value, product: ir.Value, **_: object) -> MatchResult:
    """Refuse a Gemm that is plain already, and a weight that is none."""
    del context
    result = MatchResult()
    matrix = constant(weight)
    if matrix is None or matrix.dtype != np.float32:
        return result.fail("the weight is no float32 constant")
    return result if _is_odd(product) else result.fail("it is plain already")


def rewrite(op: Any, x: ir.Value, weight: ir.Value, product: ir.Value) -> Any:  # noqa: ANN401
    """Return the plain Gemm, and an Add where the bias is no row of constants."""
    node, held = product.producer(), constant(weight)
    if node is None or held is None:
        return None
    matrix = held.astype(np.float32)
    alpha, beta, across = _factors(node)
    columns = matrix.T if node.attributes.get_int("transB", 0) else matrix
    inputs = [op.Transpose(x, perm=[1, 0]) if across else x, _made(op, weight, node, alpha * columns)]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    row = _row(bias, columns.shape[1])
    if bias is not None and row is not None:
        return op.Gemm(*inputs, _made(op, bias, node, beta * row))
    if bias is None:
        return op.Gemm(*inputs)
    return op.Add(op.Gemm(*inputs), bias if beta == 1 else op.Mul(bias, op.Constant(value_float=beta)))


RULE = RewriteRule(pattern, rewrite, check, name="PlainGemm")


def _made(op: Any, value: ir.Value, node: ir.Node, array: npt.NDArray[Any]) -> Any:  # noqa: ANN401
    name = f"{value.name}.of.{node.name}"
    return op.initializer(ir.tensor(np.ascontiguousarray(array, np.float32), name=name), name=name)


def _factors(node: ir.Node) -> tuple[float, float, bool]:
    values = node.attributes
    return values.get_float("alpha", 1.0), values.get_float("beta", 1.0), bool(values.get_int("transA", 0))


def _is_odd(product: ir.Value) -> bool:
    node = product.producer()
    if node is None or node.inputs[1] is None:
        return False
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    weight = constant(node.inputs[1])
    width = 0 if weight is None else weight.shape[0 if node.attributes.get_int("transB", 0) else 1]
    return _factors(node) != (1.0, 1.0, False) or (bias is not None and _row(bias, width) is None)


def _row(bias: ir.Value | None, width: int) -> npt.NDArray[np.float32] | None:
    """Return a constant bias as a row of ``width`` numbers; a single number counts for all columns."""
    array = constant(bias)
    if array is None or array.dtype != np.float32 or array.shape not in ((), (1,), (1, 1), (width,), (1, width)):
        return None
    return np.broadcast_to(array.astype(np.float32).reshape(-1), (width,))
