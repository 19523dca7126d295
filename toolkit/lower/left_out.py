"""What stays float, each with its own reason."""

from collections.abc import Callable, Iterator

import onnx_ir as ir

from toolkit.lower.constants import constant

TWO_ACTIVATIONS = "both factors are activations"  # as those of attention
_SMALLEST = 1024  # numbers of a weight that is worth a word
_LAYERS = frozenset({"Conv", "ConvTranspose", "Einsum", "GRU", "LSTM", "RNN"})  # with weights, besides MatMul and Gemm


def left_out(graph: ir.Graph, known: set[str], refusal: Callable[[ir.Node], str]) -> tuple[str, ...]:
    """Return every node with weights, and every MatMul, that is not in ``known``: ``name: why it stays float``."""
    found = (
        (node, reason)
        for node in graph.all_nodes()
        if node.graph is not graph or node.name not in known
        if (reason := _reason(node, node.graph is graph, refusal))
    )
    return tuple(f"{node.name}: {reason}" for node, reason in found)


def _reason(node: ir.Node, outermost: bool, refusal: Callable[[ir.Node], str]) -> str:
    multiplies = node.domain == "" and node.op_type in ("MatMul", "Gemm")
    weights = tuple(_weights(node))
    if not multiplies and not weights:
        return ""
    if not outermost:
        inside = weights or any(constant(value) is not None for value in node.inputs)
        return "it is in the body of a branch or a loop" if inside else ""
    if not multiplies:
        return refusal(node) or f"{node.op_type} is not made int8"
    return _product_reason(node)


def _product_reason(node: ir.Node) -> str:
    left, right = (constant(value) for value in node.inputs[:2])
    if right is None:
        if left is not None:
            return "its constant comes first"
        fed = any(value is not None and value.is_graph_input() and value.is_initializer() for value in node.inputs)
        return "its weight is an input of the model too" if fed else TWO_ACTIVATIONS
    if right.ndim != 2:
        return f"its weight has {right.ndim} axes"
    return f"its weight is {right.dtype}"


def _weights(node: ir.Node) -> Iterator[ir.Value]:
    """Return the constants of a layer, or of what an optimizer fused, that are large and of two or more axes."""
    if not node.domain and node.op_type not in (*_LAYERS, "MatMul", "Gemm"):
        return
    for value in node.inputs:
        tensor = None if value is None else ir.convenience.get_const_tensor(value)
        large = tensor is not None and tensor.size >= _SMALLEST and len(tensor.shape) > 1
        if value is not None and tensor is not None and large and tensor.dtype.is_floating_point():
            yield value
