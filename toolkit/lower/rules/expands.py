"""What is blown up to a shape that the next operator would blow it up to anyway is left small."""

from collections.abc import Callable

import onnx_ir as ir

from toolkit.lower.constants import constant, initializer
from toolkit.lower.shapes import Dims, dims

_BY_ELEMENT = frozenset(
    (
        *("Abs", "Add", "And", "Cast", "Div", "Equal", "Greater", "GreaterOrEqual", "Identity", "IsNaN", "Less"),
        *("LessOrEqual", "Max", "Min", "Mul", "Neg", "Not", "Or", "Sub", "Where", "Xor"),
    )
)
_SAME_NUMBERS = ("Expand", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze")
_REACH = 16  # operators between a blown-up value and the one that would do it anyway


class RemoveExpands(ir.passes.InPlacePass):
    """``Add(scores, f(Expand(mask, shape)))`` → ``Add(scores, f(mask))``, f working element by element.

    And ``Add(x, Gather(table, indices))`` of indices that are all the same → ``Add(x, row)``.
    Requires: shapes of values, as far as they are known. Ensures: shapes of what is left are true or unknown.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Leave small what can be in the main graph."""
        modified = False
        for node in tuple(model.graph):
            small = _small(model.graph, node)
            value = node.outputs[0]
            if small is None:
                continue
            region = _region(value)
            if not _is_blown_up_anyway(value, region, _REACH):
                continue
            _forget(value, region)
            ir.convenience.replace_all_uses_with(value, small())
            modified = True
        return ir.passes.PassResult(model, modified)


def _small(graph: ir.Graph, node: ir.Node) -> Callable[[], ir.Value] | None:
    """Return what gives the small value that a node blows up, or None where the node does no such thing."""
    if node.domain or not node.inputs or (first := node.inputs[0]) is None:
        return None
    if node.op_type == "Expand":
        return lambda: first
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 0:
        return None
    table, index = constant(first), _same_everywhere(node.inputs[1])
    if table is None or index is None or table.ndim != 2 or not -len(table) <= index < len(table):
        return None
    return lambda: initializer(graph, f"{first.name}.row.{index}", table[index])


def _same_everywhere(value: ir.Value | None) -> int | None:
    """Return the whole number that every element of a value is, whatever its shape."""
    array = constant(value)
    if array is not None:
        same = array.dtype.kind == "i" and array.size > 0 and (array == array.reshape(-1)[0]).all()
        return int(array.reshape(-1)[0]) if same else None
    node = None if value is None else value.producer()
    if node is None or node.domain:
        return None
    if node.op_type == "ConstantOfShape":
        tensor = node.attributes.get_tensor("value")
        return None if tensor is None or tensor.numpy().dtype.kind != "i" else int(tensor.numpy().reshape(-1)[0])
    return _same_everywhere(node.inputs[0]) if node.op_type in _SAME_NUMBERS else None


def _region(value: ir.Value) -> frozenset[ir.Value]:
    """Return all that is computed of a value element by element, and the value: what may become small with it."""
    found, open_ends = {value}, [value]
    while open_ends:
        nodes = [use.node for use in open_ends.pop().uses()]
        new = {node.outputs[0] for node in nodes if not node.domain and node.op_type in _BY_ELEMENT} - found
        found |= new
        open_ends.extend(new)
    return frozenset(found)


def _is_blown_up_anyway(value: ir.Value, region: frozenset[ir.Value], reach: int) -> bool:
    """Tell whether all that sees a value works by element and gets its full shape from outside of the region."""
    full = dims(value)
    if full is None or value.is_graph_output() or reach == 0:
        return False
    return all(
        not use.node.domain
        and use.node.op_type in _BY_ELEMENT
        and (_meets_full(use.node, full, region) or _is_blown_up_anyway(use.node.outputs[0], region, reach - 1))
        for use in value.uses()
    )


def _meets_full(node: ir.Node, full: Dims, region: frozenset[ir.Value]) -> bool:
    others = (dims(other) for other in node.inputs if other is not None and other not in region)
    return any(other is not None and _covers(other, full) for other in others)


def _covers(other: Dims, full: Dims) -> bool:
    """Tell whether broadcasting to one shape gives the other already, aligned at the last axis."""
    if len(other) < len(full):
        return False
    pairs = zip(other[len(other) - len(full) :], full, strict=True)
    return all(axis == 1 or (axis is not None and axis == mine) for mine, axis in pairs)


def _forget(value: ir.Value, region: frozenset[ir.Value]) -> None:
    """Drop what was known of the shapes between a value and what gives it the full shape."""
    full = dims(value)
    value.shape = None
    for use in value.uses():
        if full is not None and not _meets_full(use.node, full, region):
            _forget(use.node.outputs[0], region)
