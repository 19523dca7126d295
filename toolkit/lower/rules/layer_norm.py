"""Layer normalization, written out by exporters below opset 17, becomes one node.

``(x - mean(x)) / √(mean((x - mean(x))²) + ε) · scale + bias`` → ``LayerNormalization(x, scale, bias)``, over the
last axis alone (Ba et al., arXiv 1607.06450). ONNX Runtime takes LayerNormalization in models of every opset: its
own fusions write it there too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRule, RewriteRuleSet

from toolkit.lower.constants import constant, integers, is_scalar, scalar


def _pattern(*, power: bool, divides: bool) -> Callable[..., Any]:
    def pattern(op: Any, x: Any, two: Any, epsilon: Any, scale: Any) -> Any:  # noqa: ANN401 - the library's
        free = {"_allow_other_inputs": True, "_allow_other_attributes": True}
        off = op.Sub(x, op.ReduceMean(x, **free, _outputs=["mean"]))
        square = op.Pow(off, two) if power else op.Mul(off, off)
        deviation = op.Sqrt(op.Add(op.ReduceMean(square, **free, _outputs=["variance"]), epsilon))
        unit = op.Div(off, deviation) if divides else op.Mul(off, op.Reciprocal(deviation))
        return op.Mul(unit, scale)

    return pattern


def check(
    context: object,
    mean: ir.Value,
    variance: ir.Value,
    epsilon: ir.Value,
    scale: ir.Value,
    two: ir.Value | None,
    **_: object,
) -> MatchResult:
    """Refuse other axes, and what is no constant."""
    del context
    result = MatchResult()
    if not (_over_last_axis(mean) and _over_last_axis(variance)):
        return result.fail("the mean is not over the last axis alone")
    if (least := scalar(epsilon)) is None or least < 0:
        return result.fail("epsilon is no constant")
    if not _is_row(scale):
        return result.fail("the scale is no constant row")
    return result if two is None or is_scalar(two, 2) else result.fail("the power is not 2")


def rewrite(op: Any, x: ir.Value, epsilon: ir.Value, scale: ir.Value, **_: object) -> Any:  # noqa: ANN401
    """Return the one node."""
    return op.LayerNormalization(x, scale, axis=-1, epsilon=scalar(epsilon), stash_type=1)


def bias_pattern(op: Any, x: Any, scale: Any, bias: Any) -> Any:  # noqa: ANN401
    """Return a normalization without a bias, and what is added to it."""
    return op.Add(op.LayerNormalization(x, scale, _outputs=["normal"]), bias)


def bias_check(context: object, scale: ir.Value, bias: ir.Value, **_: object) -> MatchResult:
    """Refuse what is no row of constants as long as the scale: a residual, say."""
    del context
    result = MatchResult()
    rows = constant(scale), constant(bias)
    alike = rows[0] is not None and rows[1] is not None and rows[0].shape == rows[1].shape
    return result if alike else result.fail("what is added is no constant row")


def bias_rewrite(op: Any, x: ir.Value, scale: ir.Value, bias: ir.Value, normal: ir.Value) -> Any:  # noqa: ANN401
    """Return the normalization with its bias."""
    old = normal.producer()
    return op.LayerNormalization(x, scale, bias, **(old.attributes if old is not None else {}))


RULES = RewriteRuleSet(
    [
        *(
            RewriteRule(_pattern(power=power, divides=divides), rewrite, check, name="LayerNorm")
            for power in (True, False)
            for divides in (True, False)
        ),
        RewriteRule(bias_pattern, bias_rewrite, bias_check, name="LayerNormBias"),
    ],
    commute=True,
)


def _over_last_axis(mean: ir.Value) -> bool:
    node = mean.producer()
    if node is None or node.attributes.get_int("keepdims", 1) != 1:
        return False
    axes = node.attributes.get_ints("axes") if "axes" in node.attributes else None
    if axes is None and len(node.inputs) > 1:
        axes = integers(node.inputs[1])
    rank = None if node.inputs[0] is None or node.inputs[0].shape is None else node.inputs[0].shape.rank()
    return axes is not None and tuple(axes) in ((-1,), (None if rank is None else rank - 1,))


def _is_row(value: ir.Value) -> bool:
    row = constant(value)
    return row is not None and row.ndim == 1 and row.size > 1 and row.dtype == np.float32
