"""Lengths that are known are not asked for at every run.

``Slice(Shape(x), …)`` → the lengths themselves, where they are known: SDPA computes its 1/√d of one.
"""

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRule

from toolkit.lower.constants import integers
from toolkit.lower.shapes import dims


def pattern(op: Any, x: Any, start: Any, end: Any) -> Any:  # noqa: ANN401 - the library's
    """Return the nodes that are looked for."""
    return op.Slice(op.Shape(x, _outputs=["shape"]), start, end, _allow_other_inputs=True, _outputs=["cut"])


def check(context: object, cut: ir.Value, **_: object) -> MatchResult:
    """Refuse lengths that only the run knows."""
    del context
    result = MatchResult()
    return result if _lengths(cut) else result.fail("a length is only known at run time")


def rewrite(op: Any, cut: ir.Value, **_: object) -> Any:  # noqa: ANN401
    """Return the lengths."""
    return op.Constant(value_ints=_lengths(cut))


RULE = RewriteRule(pattern, rewrite, check, name="KnownLengths")


def _lengths(cut: ir.Value) -> list[int] | None:
    node = cut.producer()
    shape = None if node is None or node.inputs[0] is None else node.inputs[0].producer()
    if node is None or shape is None or shape.attributes or len(node.inputs) > 4:
        return None
    axes, start, end = dims(shape.inputs[0]), integers(node.inputs[1]), integers(node.inputs[2])
    if axes is None or start is None or end is None:
        return None
    found = [axis for axis in axes[start[0] : end[0]] if isinstance(axis, int)]
    return found if found and len(found) == len(axes[start[0] : end[0]]) else None
