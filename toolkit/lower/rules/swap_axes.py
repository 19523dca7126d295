"""The last two axes swapped with the others folded into one for the while → one Transpose.

So the dynamo exporter writes the transposed key of attention.
"""

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRule

from toolkit.lower.shapes import dims


def pattern(op: Any, x: Any, folded: Any, unfolded: Any) -> Any:  # noqa: ANN401
    """Return the nodes that are looked for."""
    free = {"_allow_other_attributes": True}
    inner = op.Reshape(x, folded, **free, _outputs=["inner"])
    return op.Reshape(op.Transpose(inner, perm=[0, 2, 1]), unfolded, **free, _outputs=["y"])


def check(context: object, x: ir.Value, inner: ir.Value, y: ir.Value, **_: object) -> MatchResult:
    """Refuse where the axes before the last two are not known to come back as they were."""
    del context
    result = MatchResult()
    before, middle, after = dims(x), dims(inner), dims(y)
    if before is None or middle is None or after is None or None in (*before, *middle[1:], *after):
        return result.fail("the shapes are not known")
    swapped = (*before[:-2], before[-1], before[-2])
    return result if after == swapped and middle[1:] == before[-2:] else result.fail("it is no swap of two axes")


def rewrite(op: Any, x: ir.Value, **_: object) -> Any:  # noqa: ANN401
    """Return the one Transpose."""
    rank = len(dims(x) or ())
    return op.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])


RULE = RewriteRule(pattern, rewrite, check, name="SwapLastAxes")
