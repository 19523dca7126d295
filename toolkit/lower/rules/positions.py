"""Positions looked up by numbers that are known: the rows are laid out once, and cut at run time.

``Gather(table, Slice(numbers, …))`` → ``Slice(table[numbers], …)``, of a constant table and constant numbers.
"""

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRule

from toolkit.lower.constants import constant, integers


def pattern(op: Any, table: Any, numbers: Any, start: Any, end: Any, axes: Any) -> Any:  # noqa: ANN401
    """Return the nodes that are looked for."""
    cut = op.Slice(numbers, start, end, axes, _allow_other_inputs=True, _outputs=["cut"])
    return op.Gather(table, cut, _allow_other_attributes=True, _outputs=["rows"])


def check(
    context: object, table: ir.Value, numbers: ir.Value, axes: ir.Value, rows: ir.Value, **_: object
) -> MatchResult:
    """Refuse what is no constant, and what would make the model larger."""
    del context
    result = MatchResult()
    held, places, along, node = constant(table), constant(numbers), integers(axes), rows.producer()
    if held is None or places is None or along is None or node is None:
        return result.fail("table, numbers or axes are computed")
    if held.ndim != 2 or node.attributes.get_int("axis", 0) != 0 or min(along, default=0) < 0:
        return result.fail("it is no lookup of rows")
    if places.size > len(held):
        return result.fail("the rows laid out are larger than the table")
    known = np.abs(places.astype(np.int64)).max(initial=0) < len(held)
    return result if known else result.fail("a number has no row")


def rewrite(op: Any, table: ir.Value, numbers: ir.Value, cut: ir.Value, **_: object) -> Any:  # noqa: ANN401
    """Return the cut of the rows laid out."""
    held, places, node = constant(table), constant(numbers), cut.producer()
    if held is None or places is None or node is None:
        return None
    name = f"{table.name}.rows.{cut.name}"
    laid_out = np.ascontiguousarray(held[places.astype(np.int64)])
    return op.Slice(op.initializer(ir.tensor(laid_out, name=name), name=name), *node.inputs[1:])


RULE = RewriteRule(pattern, rewrite, check, name="PositionRows")
