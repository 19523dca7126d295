"""Layers of one input, merged by lowering, computed apart: no Split, which copies what the GEMM just wrote."""

import numpy as np
import onnx_ir as ir

from toolkit.lower.constants import constant

_WEIGHT, _SCALE, _BIAS = 1, 3, 6


def to_separate_projections(model: ir.Model) -> None:
    """Rewrite ``Split(MatMulIntegerToFloat(x, [A B …], …))`` to a MatMulIntegerToFloat for A, for B and so on.

    Columns keep their numbers: every sum is the same, bit for bit.
    """
    for split in tuple(model.graph):
        if (layer := split_layer(split)) is not None:
            _separate(model.graph, split, layer)


def split_layer(split: ir.Node) -> ir.Node | None:
    """Return the int8 layer whose columns a node splits, and which nothing else reads."""
    layer = split.inputs[0].producer() if split.op_type == "Split" and split.inputs[0] is not None else None
    if layer is None or layer.op_type != "MatMulIntegerToFloat" or split.attributes.get_int("axis", 0) != -1:
        return None
    alone = len(tuple(layer.outputs[0].uses())) == 1 and not layer.outputs[0].is_graph_output()
    return layer if alone and part_slices(split) else None


def part_slices(split: ir.Node) -> list[slice]:
    """Return which columns each output of a Split is; nothing where the sizes are no constants."""
    sizes = constant(split.inputs[1]) if len(split.inputs) > 1 else None
    ends = () if sizes is None else np.cumsum(sizes)
    return [slice(int(end - size), int(end)) for end, size in zip(ends, () if sizes is None else sizes, strict=True)]


def _separate(graph: ir.Graph, split: ir.Node, layer: ir.Node) -> None:
    parts: list[ir.Node] = []
    for number, columns in enumerate(part_slices(split)):
        inputs = list(layer.inputs)
        for place in (_WEIGHT, _SCALE, _BIAS):
            inputs[place] = _columns(graph, layer.inputs[place], columns, number)
        parts.append(ir.Node(layer.domain, layer.op_type, inputs, name=f"{layer.name}.{number}"))
    names = [output.name for output in split.outputs]
    new = [part.outputs[0] for part in parts]
    ir.convenience.replace_nodes_and_values(graph, layer, [split, layer], parts, split.outputs, new)
    for value, name in zip(new, names, strict=True):
        value.name = name


def _columns(graph: ir.Graph, value: ir.Value | None, columns: slice, number: int) -> ir.Value | None:
    whole = constant(value)
    if value is None or whole is None:
        return None
    stem, _, kind = str(value.name).rpartition(".")
    name = f"{stem}.{number}.{kind}"
    if name not in graph.initializers:  # else the weight is one of several layers
        part = ir.tensor(np.ascontiguousarray(whole[..., columns]), name=name)
        graph.register_initializer(ir.val(name, const_value=part))
    return graph.initializers[name]
