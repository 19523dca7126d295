"""Positions looked up by numbers that are known: the rows are laid out once, and cut at run time.

``Gather(table, Slice(numbers, …))`` → ``Slice(table[numbers], …)``, of a constant table and constant numbers.
"""

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewriteRule

from toolkit.lower.constants import constant, integers


def pattern(op: Any, table: Any, cut: Any) -> Any:  # noqa: ANN401
    """Return any lookup; that its indices are cut out of constant ones is for ``check``."""
    return op.Gather(table, cut, _allow_other_attributes=True, _outputs=["rows"])


def check(context: object, table: ir.Value, cut: ir.Value, rows: ir.Value) -> MatchResult:
    """Refuse what is no constant, and what would make the model larger."""
    del context
    result = MatchResult()
    slicing, node = cut.producer(), rows.producer()
    if slicing is None or node is None or slicing.op_type != "Slice" or slicing.domain or len(slicing.inputs) < 4:
        return result.fail("the indices are not cut out along axes that are named")
    held, places, along = constant(table), constant(slicing.inputs[0]), integers(slicing.inputs[3])
    if held is None or places is None or along is None:
        return result.fail("table, numbers or axes are computed")
    if held.ndim != 2 or node.attributes.get_int("axis", 0) != 0 or min(along, default=0) < 0:
        return result.fail("it is no lookup of rows")
    if places.size > len(held):
        return result.fail("the rows laid out are larger than the table")
    known = np.abs(places.astype(np.int64)).max(initial=0) < len(held)
    return result if known else result.fail("a number has no row")


def rewrite(op: Any, table: ir.Value, cut: ir.Value, rows: ir.Value) -> Any:  # noqa: ANN401
    """Return the cut of the rows laid out."""
    slicing, held = cut.producer(), constant(table)
    places = None if slicing is None else constant(slicing.inputs[0])
    if slicing is None or held is None or places is None:
        return None
    name = f"{table.name}.of.{rows.name}"
    laid_out = np.ascontiguousarray(held[places.astype(np.int64)])
    return op.Slice(op.initializer(ir.tensor(laid_out, name=name), name=name), *slicing.inputs[1:])


RULE = RewriteRule(pattern, rewrite, check, name="PositionRows")
