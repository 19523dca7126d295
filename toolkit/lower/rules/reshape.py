"""A shape that is computed at every run, of what is known already, becomes a constant.

``Reshape(x, computed)`` → ``Reshape(x, [0, 0, heads, size])``: 0 copies the axis of x, -1 is what is left.
"""

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRule

from toolkit.lower.constants import constant
from toolkit.lower.shapes import dims


def pattern(op: Any, x: Any, shape: Any) -> Any:  # noqa: ANN401 - the library's
    """Return any Reshape."""
    return op.Reshape(x, shape, _allow_other_attributes=True, _outputs=["y"])


def check(context: object, x: ir.Value, shape: ir.Value, y: ir.Value) -> MatchResult:
    """Refuse a shape that is constant, or of which more than one axis is unknown."""
    del context
    result = MatchResult()
    if constant(shape) is not None:
        return result.fail("the shape is constant already")
    return result if _target(x, y) is not None else result.fail("more than one axis of the shape is unknown")


def rewrite(op: Any, x: ir.Value, shape: ir.Value, y: ir.Value) -> Any:  # noqa: ANN401
    """Return the same Reshape by constants."""
    name = f"{shape.name}.of.{y.name}"
    target = np.array(_target(x, y), np.int64)
    return op.Reshape(x, op.initializer(ir.tensor(target, name=name), name=name))


RULE = RewriteRule(pattern, rewrite, check, name="ReshapeByCopy")


def _target(x: ir.Value, y: ir.Value) -> list[int] | None:
    before, after = dims(x), dims(y)
    if before is None or after is None:
        return None
    target = []
    for place, axis in enumerate(after):
        same = place < len(before) and axis is not None and before[place] == axis
        target.append(axis if isinstance(axis, int) else 0 if same else -1)
    return target if target.count(-1) <= 1 and -1 not in after and 0 not in after else None
