"""Lowering: bring a float graph into the form that the int8 kernels like, and name what can be quantized in it."""

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript import optimizer

from toolkit.lower.embedding import Embedding, find_embeddings
from toolkit.lower.linear import Linear, find_linears
from toolkit.lower.merge_siblings import MergeSiblingLinears

__all__ = ["Embedding", "Linear", "Lowered", "lower"]

PASSES: tuple[ir.passes.InPlacePass, ...] = (
    common.NameFixPass(),
    common.LiftConstantsToInitializersPass(lift_all_constants=True),
    MergeSiblingLinears(),
    common.RemoveUnusedNodesPass(),
    common.TopologicalSortPass(),
)


@dataclass(frozen=True)
class Lowered:
    """A float graph and every tensor of it that a recipe may speak of."""

    model: ir.Model
    linears: tuple[Linear, ...]
    embeddings: tuple[Embedding, ...]
    unquantized: tuple[str, ...]  # MatMul and Gemm nodes that stay float, each with the reason


def lower(model: ir.Model) -> Lowered:
    """Return a lowered copy of a float graph; raises NumericsError for a weight that is not finite."""
    copy = model.clone()
    optimizer.optimize_ir(copy, onnx_shape_inference=False)
    for rewrite in PASSES:
        rewrite(copy)
    linears = find_linears(copy.graph)
    return Lowered(copy, linears, find_embeddings(copy.graph), _left_out(copy.graph, linears))


def _left_out(graph: ir.Graph, linears: tuple[Linear, ...]) -> tuple[str, ...]:
    known = {node for linear in linears for node in linear.nodes}
    others = (node for node in graph if node.op_type in ("MatMul", "Gemm") and node.name not in known)
    return tuple(f"{node.name}: both factors are activations" for node in others)
