"""Attention with its weights inside, taken apart, so that its projection can be int8."""

import numpy as np
import onnx_ir as ir

from toolkit.lower.constants import constant, initializer
from toolkit.lower.rules.unfuse import Unfusing, given, used
from toolkit.lower.shapes import dims

_FILTER = -10000.0  # mask_filter_value's default


class Attention(Unfusing):
    """``Attention(x, weight, bias, mask)`` → one projection, Split, MatMul, Softmax, MatMul: [b, s, h] -> [b, s, h].

    The mask is [b, s], 1 for text and 0 for padding, or [b], the lengths of the texts; the 1/√d goes into the
    query's columns of the weight.
    """

    op_type = "Attention"

    def refusal(self, node: ir.Node) -> str:
        """Refuse other masks, caches, causal and rotary attention, and weights that are computed."""
        mask = given(node, 3)
        if any(constant(given(node, place)) is None for place in (1, 2)):
            return "its weights are no constants"
        if any(given(node, place) is not None for place in (4, 6)) or used(node, 1):
            return "it keeps keys and values of past tokens"
        if any(node.attributes.get_int(name, 0) for name in ("unidirectional", "do_rotary")):
            return "it is causal or rotary attention"
        if mask is not None and not _is_lengths(node, mask) and len(dims(mask) or ()) != 2:
            return "its mask is neither [batch, sequence] nor [batch]"
        return ""

    def rewrite(self, graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node) -> dict[int, ir.Value]:
        """Write the parts."""
        name, heads = node.name, node.attributes.get_int("num_heads", 1)
        sizes = _sizes(node)
        query, key, value = _projections(graph, tape, node, sizes)
        context = _heads(graph, tape, value, (f"{name}/value", heads, sizes[2] // heads), (0, 2, 1, 3))
        query = _heads(graph, tape, query, (f"{name}/query", heads, sizes[0] // heads), (0, 2, 1, 3))
        key = _heads(graph, tape, key, (f"{name}/key", heads, sizes[1] // heads), (0, 2, 3, 1))
        scores = tape.op("MatMul", [query, key], name=f"{name}/scores")
        for added in (_mask_bias(graph, tape, node), given(node, 5)):
            if added is not None:
                scores = tape.op("Add", [scores, added], name=f"{name}/Add.{added.name}")
        share = tape.op("Softmax", [scores], attributes={"axis": -1}, name=f"{name}/Softmax")
        context = tape.op("MatMul", [share, context], name=f"{name}/context")
        context = tape.op("Transpose", [context], attributes={"perm": (0, 2, 1, 3)}, name=f"{name}/context/Transpose")
        shape = initializer(graph, f"{name}.merge", np.array([0, 0, sizes[2]]))
        return {0: tape.op("Reshape", [context, shape], name=f"{name}/context/Reshape")}


def _sizes(node: ir.Node) -> tuple[int, int, int]:
    found = node.attributes.get_ints("qkv_hidden_sizes")
    weight = constant(given(node, 1))
    if weight is None:
        raise AssertionError("refused before")
    whole = weight.shape[1] // 3
    return (found[0], found[1], found[2]) if found else (whole, whole, whole)


def _projections(
    graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node, sizes: tuple[int, int, int]
) -> tuple[ir.Value, ir.Value, ir.Value]:
    weight, bias = constant(given(node, 1)), constant(given(node, 2))
    if weight is None or bias is None:
        raise AssertionError("refused before")
    heads = node.attributes.get_int("num_heads", 1)
    scale = np.ones(sum(sizes), np.float32)
    scale[: sizes[0]] = node.attributes.get_float("scale", 0.0) or (sizes[0] // heads) ** -0.5
    matrix = initializer(graph, f"{node.name}.weight", weight.astype(np.float32) * scale)
    total = tape.op("MatMul", [node.inputs[0], matrix], name=f"{node.name}/query+key+value")
    row = initializer(graph, f"{node.name}.bias", bias.astype(np.float32) * scale)
    total = tape.op("Add", [total, row], name=f"{node.name}/query+key+value/Add")
    parts = initializer(graph, f"{node.name}.sizes", np.array(sizes, np.int64))
    made = tape.op_multi_out("Split", [total, parts], num_outputs=3, attributes={"axis": -1}, name=f"{node.name}/Split")
    return made[0], made[1], made[2]


def _heads(
    graph: ir.Graph, tape: ir.tape.Tape, x: ir.Value, part: tuple[str, int, int], perm: tuple[int, ...]
) -> ir.Value:
    name, heads, size = part
    shape = initializer(graph, f"{name}.split", np.array([0, 0, heads, size]))
    split = tape.op("Reshape", [x, shape], name=f"{name}/Reshape")
    return tape.op("Transpose", [split], attributes={"perm": perm}, name=f"{name}/Transpose")


def _is_lengths(node: ir.Node, mask: ir.Value) -> bool:
    """Tell whether a mask is [b], not the [2b] or [3b + 2] that the operator takes too."""
    known, batch = dims(mask), (dims(node.inputs[0]) or (None,))[0]
    return known is not None and len(known) == 1 and batch is not None and known[0] == batch


def _mask_bias(graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node) -> ir.Value | None:
    """Append what the mask adds to the scores: [b, s] -> [b, 1, 1, s]."""
    mask, name = given(node, 3), f"{node.name}/mask"
    if mask is None:
        return None
    zero = initializer(graph, f"{name}.text", np.array(0, np.float32))
    lowest = np.array(node.attributes.get_float("mask_filter_value", _FILTER), np.float32)
    if _is_lengths(node, mask):
        text = _is_before(graph, tape, node, mask)
    else:
        axes = initializer(graph, f"{name}.axes", np.array([1, 2]))
        wide = tape.op("Unsqueeze", [mask, axes], name=f"{name}/Unsqueeze")
        text = tape.op("Cast", [wide], attributes={"to": ir.DataType.BOOL}, name=f"{name}/Cast")
    return tape.op("Where", [text, zero, initializer(graph, f"{name}.padding", lowest)], name=f"{name}/Where")


def _is_before(graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node, lengths: ir.Value) -> ir.Value:
    """Append whether each place is before the end of its text: [b] -> [b, 1, 1, s]."""
    name = f"{node.name}/mask"
    zero, one = (initializer(graph, f"{name}.{number}", np.array(number)) for number in (0, 1))
    axes = initializer(graph, f"{name}.axes", np.array([1, 2, 3]))
    shape = tape.op("Shape", [_as_long(graph, node.inputs[0])], name=f"{name}/Shape")
    size = tape.op("Gather", [shape, one], name=f"{name}/Gather")
    places = tape.op("Range", [zero, size, one], name=f"{name}/Range")
    ends = tape.op("Unsqueeze", [lengths, axes], name=f"{name}/Unsqueeze")
    ends = tape.op("Cast", [ends], attributes={"to": ir.DataType.INT64}, name=f"{name}/Cast")
    return tape.op("Less", [places, ends], name=f"{name}/Less")


def _as_long(graph: ir.Graph, x: ir.Value | None) -> ir.Value | None:
    """Return an input of the graph that has x's batch and length, so that all layers ask the same: else x."""
    known = dims(x) or ()
    return next((value for value in graph.inputs if len(known) == 3 and dims(value) == known[:2]), x)
