"""Models that read the first token alone, as classifiers do: the last layer is computed for no other one."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from toolkit.lower.constants import constant, initializer, integers
from toolkit.lower.shapes import Dims, dims

Needs = dict[int, int]
"""By the number of an input: the axis along which its first index alone is needed."""
_ELEMENTWISE = ("Gelu", "FastGelu", "Relu", "Tanh", "Erf", "Sigmoid", "Softplus", "Cast", "Identity")
_BROADCAST = ("Add", "Sub", "Mul", "Div", "Pow", "Where")
_ALL = -1


class KeepFirstToken(ir.passes.InPlacePass):
    """``Gather(f(x), 0, axis=1)`` → ``Gather(f(x[:, :1]), 0, axis=1)``, for all of f that treats tokens apart.

    In an encoder's last layer that is everything but keys and values: query, scores, output, intermediate.
    Requires: shapes. Ensures: the same numbers at the first token.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Narrow what only leads to first tokens, if a layer with weights is among it."""
        common.TopologicalSortPass()(model)
        narrowed = _narrowed(model.graph)
        worth = any(node.op_type == "MatMul" and constant(node.inputs[1]) is not None for node in narrowed)
        if worth:
            _narrow(model.graph, narrowed)
        return ir.passes.PassResult(model, modified=worth)


def _narrowed(graph: ir.Graph) -> Mapping[ir.Node, tuple[int, Needs]]:
    """Return each node of whose output an axis's first index alone is read: the axis, and what that takes of inputs."""
    wanted: dict[ir.Value, set[int]] = {value: {_ALL} for value in graph.outputs}
    found: dict[ir.Node, tuple[int, Needs]] = {}
    for node in reversed(graph):
        axes = set().union(*(wanted.get(value, set()) for value in node.outputs))
        needs = {0: 1} if _selects_first(node) else None
        if needs is None and len(axes) == 1 and len(node.outputs) == 1 and _ALL not in axes:
            axis = next(iter(axes))
            needs = _needs(node, axis)
            if needs is not None:
                found[node] = axis, needs
        for number, value in enumerate(node.inputs):
            if value is not None:
                wanted.setdefault(value, set()).add((needs or {}).get(number, _ALL))
        for value in _captured(node):
            wanted.setdefault(value, set()).add(_ALL)
    return found


def _captured(node: ir.Node) -> Iterator[ir.Value]:
    """Return what the bodies of an If or a Loop read from outside."""
    bodies = [
        attribute.as_graph() for attribute in node.attributes.values() if attribute.type == ir.AttributeType.GRAPH
    ]
    for body in bodies:
        yield from (value for inner in body.all_nodes() for value in inner.inputs if value is not None)
        yield from body.outputs


def _selects_first(node: ir.Node) -> bool:
    """Tell whether a node reads the first token of [batch, token, …] alone."""
    if node.op_type == "Gather":
        return node.attributes.get_int("axis", 0) == 1 and integers(node.inputs[1]) == (0,)
    if node.op_type != "Slice" or len(node.inputs) < 4:
        return False
    steps = integers(node.inputs[4]) if len(node.inputs) > 4 else (1,)
    return [integers(value) for value in node.inputs[1:4]] == [(0,), (1,), (1,)] and steps == (1,)


def _needs(node: ir.Node, axis: int) -> Needs | None:
    """Return what the first index along an axis of a node's output takes; None where that may be everything."""
    rule = _RULES.get(node.op_type)
    shape = dims(node.outputs[0])
    return None if rule is None or shape is None or shape[axis] == 1 else rule(node, axis, shape)


def _of_elementwise(_node: ir.Node, axis: int, _shape: Dims) -> Needs | None:
    return {0: axis}


def _of_reduction(node: ir.Node, axis: int, shape: Dims) -> Needs | None:
    over = node.attributes.get_int("axis", -1) % len(shape)
    return {0: axis} if axis < over else None


def _of_broadcast(node: ir.Node, axis: int, shape: Dims) -> Needs | None:
    needs: Needs = {}
    for number, value in enumerate(node.inputs):
        known = dims(value)
        if known is None:
            return None  # what is broadcast is not known
        place = axis - (len(shape) - len(known))
        if place >= 0 and known[place] != 1:
            needs[number] = place
    return needs


def _of_product(node: ir.Node, axis: int, shape: Dims) -> Needs | None:
    left = dims(node.inputs[0])
    return {0: axis} if left is not None and len(left) == len(shape) and axis == len(shape) - 2 else None


def _of_transpose(node: ir.Node, axis: int, shape: Dims) -> Needs | None:
    return {0: node.attributes.get_ints("perm", tuple(reversed(range(len(shape)))))[axis]}


def _of_reshape(node: ir.Node, axis: int, _shape: Dims) -> Needs | None:
    """Allow a shape that copies this axis and those before it, as [0, 0, heads, size] does."""
    shape = integers(node.inputs[1])
    copies = shape is not None and not any(shape[: axis + 1]) and not node.attributes.get_int("allowzero", 0)
    return {0: axis} if copies else None


_RULES: Mapping[str, Callable[[ir.Node, int, Dims], Needs | None]] = {
    **dict.fromkeys(_ELEMENTWISE, _of_elementwise),
    **dict.fromkeys(_BROADCAST, _of_broadcast),
    "LayerNormalization": _of_reduction,
    "Softmax": _of_reduction,
    "MatMul": _of_product,
    "Transpose": _of_transpose,
    "Reshape": _of_reshape,
}


def _narrow(graph: ir.Graph, narrowed: Mapping[ir.Node, tuple[int, Needs]]) -> None:
    """Cut what flows into the narrowed nodes from others, and note that their outputs are short."""
    cuts: dict[tuple[ir.Value, int], ir.Value] = {}
    for node in tuple(graph):
        for number, axis in narrowed[node][1].items() if node in narrowed else ():
            value = node.inputs[number]
            if value is not None and value.producer() not in narrowed:
                if (value, axis) not in cuts:
                    cuts[value, axis] = _cut(graph, node, value, axis)
                node.replace_input_with(number, cuts[value, axis])
    for node, (axis, _) in narrowed.items():
        node.outputs[0].shape = _short(node.outputs[0], axis)


def _cut(graph: ir.Graph, before: ir.Node, value: ir.Value, axis: int) -> ir.Value:
    tape = ir.tape.Tape()
    start, end, axes = (initializer(graph, f"first.{number}", np.array([number])) for number in (0, 1, axis))
    first = tape.op("Slice", [value, start, end, axes], name=f"{value.name}/first.{axis}")
    first.name, first.type, first.shape = f"{value.name}.first.{axis}", value.type, _short(value, axis)
    graph.insert_before(before, tape.nodes)
    return first


def _short(value: ir.Value, axis: int) -> ir.Shape | None:
    known = dims(value)
    return None if known is None else ir.Shape([*known[:axis], 1, *known[axis + 1 :]])
