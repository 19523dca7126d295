"""Attention's 1/√d goes into the weights that it multiplies, instead of being multiplied at every run."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.lower.constants import constant, initializer, scalar

Scaled = dict[tuple[str, float], ir.Value]  # layers that share weights share the scaled ones


@dataclass(frozen=True)
class _Parameters:
    """The weight of one linear layer and its bias: (node, place among its inputs)."""

    places: tuple[tuple[ir.Node, int], ...]


class FoldScale(ir.passes.InPlacePass):
    """``c · f(x@W + b)`` → ``f(x@(c·W) + c·b)``, where f only moves numbers, or multiplies by another activation.

    So the scale of the scores ends in the query's weights, and SDPA's, of query and key, in the weights of both.
    Requires: every value named. Ensures: nothing else than the scale sees the scaled weights.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold every scale of the main graph."""
        scaled: Scaled = {}
        folded = [_fold(model.graph, node, scaled) for node in tuple(model.graph)]
        return ir.passes.PassResult(model, any(folded))


def _fold(graph: ir.Graph, node: ir.Node, scaled: Scaled) -> bool:
    found = _factor(node)
    if found is None or node.outputs[0].is_graph_output():
        return False
    value, number = found
    parameters = _source(value)
    if parameters is None:
        return False
    for layer, place in parameters.places:
        layer.replace_input_with(place, _scale(graph, layer.inputs[place], number, scaled))
    ir.convenience.replace_all_uses_with(node.outputs[0], value)
    graph.remove(node, safe=True)
    return True


def _scale(graph: ir.Graph, value: ir.Value | None, number: float, scaled: Scaled) -> ir.Value:
    array = constant(value)
    if value is None or array is None:
        raise AssertionError("a parameter is a constant")
    key = str(value.name), number
    if key not in scaled:
        scaled[key] = initializer(graph, f"{value.name}.scaled", array.astype(np.float32) * np.float32(number))
    return scaled[key]


def _factor(node: ir.Node) -> tuple[ir.Value, float] | None:
    """Return what a node multiplies by a constant number, and that number."""
    if node.domain or node.op_type not in ("Mul", "Div"):
        return None
    left, right = node.inputs
    number = scalar(right)
    if node.op_type == "Mul" and number is None:
        left, right, number = right, left, scalar(left)
    array = constant(right)
    if left is None or number is None or number == 0 or array is None or array.dtype != np.float32 or array.ndim > 1:
        return None
    return left, number if node.op_type == "Mul" else 1 / number


def _source(value: ir.Value | None) -> _Parameters | None:
    """Return the parameters of the linear layer that alone a value comes from, and that nothing else sees."""
    node = None if value is None or value.is_graph_output() or len(value.uses()) != 1 else value.producer()
    if node is None or node.domain:
        return None
    if node.op_type in _LAYERS:
        return _LAYERS[node.op_type](node)
    factor = _factor(node)
    return None if factor is None else _source(factor[0])


def _moved(node: ir.Node) -> _Parameters | None:
    return _source(node.inputs[0])


def _product(node: ir.Node) -> _Parameters | None:
    if _is_float(node.inputs[1]):
        return _Parameters(((node, 1),))
    return _source(node.inputs[0]) or _source(node.inputs[1])


def _biased(add: ir.Node) -> _Parameters | None:
    for place in (0, 1):
        product = add.inputs[1 - place]
        node = None if product is None else product.producer()
        if _is_float(add.inputs[place]) and node is not None and node.op_type == "MatMul" and _is_float(node.inputs[1]):
            weight = _source(product)
            return None if weight is None else _Parameters((*weight.places, (add, place)))
    return None


def _gemm(node: ir.Node) -> _Parameters | None:
    places = range(1, len([value for value in node.inputs if value is not None]))
    if all(_is_float(node.inputs[place]) for place in places):
        return _Parameters(tuple((node, place) for place in places))
    return None


def _is_float(value: ir.Value | None) -> bool:
    array = constant(value)
    return array is not None and array.dtype == np.float32


_LAYERS: dict[str, Callable[[ir.Node], _Parameters | None]] = {
    "Add": _biased,
    "Gemm": _gemm,
    "MatMul": _product,
    **dict.fromkeys(("Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"), _moved),
}
