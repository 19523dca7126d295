"""Smoothing of what attention gives: for nothing, in the layer that makes the values."""

import numpy as np
import onnx_ir as ir

from toolkit.lower.constants import constant
from toolkit.tuning.rules.projection import part_slices, split_layer

_SCALE, _BIAS = 3, 6


def fold_smoothing(model: ir.Model) -> None:
    """Rewrite ``(P·V) * 1/s`` to ``P·(V * 1/s)``, with the factors in the scales and the bias of V's int8 layer.

    What a head gives is a mean of its values, so that a factor of a channel passes through. The s8 weights stay.
    """
    for node in tuple(model.graph):
        factors = constant(node.inputs[1]) if node.op_type == "Mul" else None
        found = None if factors is None or factors.ndim != 1 else _layer_of_values(node.inputs[0])
        if found is not None and factors is not None and node.inputs[0] is not None:
            _scale(model.graph, found[0], found[1], factors.astype(np.float32))
            ir.convenience.replace_all_uses_with(node.outputs[0], node.inputs[0])
            model.graph.remove(node, safe=True)


def _layer_of_values(context: ir.Value | None) -> tuple[ir.Node, slice] | None:
    """Return the int8 layer whose columns become the values behind what attention gives, and which of them."""
    product = _back(context, "Reshape", "Transpose", "MatMul")
    heads = None if product is None else _back(product.inputs[1], "Transpose", "Reshape")
    value = None if heads is None else heads.inputs[0]
    maker = value.producer() if value is not None and _read_once(value) else None
    if value is None or maker is None:
        return None
    if maker.op_type == "MatMulIntegerToFloat":
        return maker, slice(None)
    layer = split_layer(maker)
    return None if layer is None else (layer, part_slices(maker)[maker.outputs.index(value)])


def _back(value: ir.Value | None, *kinds: str) -> ir.Node | None:
    """Return the last of the nodes of these kinds that lead to a value, if nothing else reads what they give."""
    node: ir.Node | None = None
    for kind in kinds:
        node = value.producer() if value is not None and _read_once(value) else None
        if node is None or node.op_type != kind or not _keeps_channels(node):
            return None
        value = node.inputs[0]
    return node


def _keeps_channels(node: ir.Node) -> bool:
    """Tell whether channels stay in order: heads are split, joined, or swapped with the sequence."""
    if node.op_type == "Transpose":
        return tuple(node.attributes.get_ints("perm", ())) == (0, 2, 1, 3)
    shape = constant(node.inputs[1]) if node.op_type == "Reshape" else None
    return node.op_type != "Reshape" or (shape is not None and shape.size in (3, 4) and not shape[:2].any())


def _read_once(value: ir.Value) -> bool:
    return len(tuple(value.uses())) == 1 and not value.is_graph_output()


def _scale(graph: ir.Graph, layer: ir.Node, columns: slice, factors: np.ndarray) -> None:
    for place, called in ((_SCALE, "weight_scale"), (_BIAS, "bias")):
        old = constant(layer.inputs[place])
        if old is not None:
            new = old.astype(np.float32)
            new[columns] *= factors
            name = f"{layer.name}.{called}.smoothed"
            value = ir.val(name, const_value=ir.tensor(new, name=name))
            graph.register_initializer(value)
            layer.replace_input_with(place, value)
