"""Lowering: bring a float graph into the form that the int8 kernels like, and name what can be quantized in it."""

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules.common import (
    no_op_cast_rule,
    no_op_transpose_rule,
    transpose_transpose_rule,
    unsqueeze_unsqueeze_rule,
)

from toolkit.lower.embedding import Embedding, find_embeddings
from toolkit.lower.first_token import KeepFirstToken
from toolkit.lower.folding import FoldConstants, LayOut
from toolkit.lower.left_out import left_out
from toolkit.lower.linear import Linear, find_linears
from toolkit.lower.merge_siblings import MergeSiblingLinears
from toolkit.lower.rules import gelu, gemm, known_lengths, layer_norm, positions, reshape, swap_axes
from toolkit.lower.rules.expands import RemoveExpands
from toolkit.lower.rules.opset import RaiseOpset
from toolkit.lower.rules.scale import FoldScale
from toolkit.lower.rules.unfuse import Unfuse
from toolkit.lower.rules.unfuse_attention import Attention
from toolkit.lower.rules.unfuse_matmul import FusedMatMul
from toolkit.lower.rules.unfuse_norms import BiasGelu, EmbedLayerNorm, FastGelu, SkipLayerNorm
from toolkit.lower.shapes import InferShapes

__all__ = ["Embedding", "Linear", "Lowered", "lower"]

UNFUSE = Unfuse((Attention(), EmbedLayerNorm(), SkipLayerNorm(), BiasGelu(), FastGelu(), FusedMatMul()))
PASSES: tuple[ir.passes.InPlacePass, ...] = (
    common.InlinePass(),
    common.NameFixPass(),
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    InferShapes(),
    UNFUSE,
    InferShapes(),
    RewritePass((known_lengths.RULE,)),
    FoldConstants(),
    RewritePass((gemm.RULE, positions.RULE, reshape.RULE, no_op_cast_rule)),
    RewritePass((swap_axes.RULE,)),
    common.RemoveUnusedNodesPass(),
    RewritePass((unsqueeze_unsqueeze_rule, transpose_transpose_rule, no_op_transpose_rule)),
    RewritePass((gelu.RULE,)),
    RewritePass(layer_norm.RULES),
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    FoldConstants(),
    common.RemoveUnusedNodesPass(),
    common.DeduplicateInitializersPass(),
    common.CommonSubexpressionEliminationPass(),
    RemoveExpands(),
    FoldScale(),
    KeepFirstToken(),
    MergeSiblingLinears(),
    common.RemoveUnusedNodesPass(),
    LayOut(),
    common.DeduplicateHashedInitializersPass(),
    RaiseOpset(),
    common.TopologicalSortPass(),
    common.NameFixPass(),
)


@dataclass(frozen=True)
class Lowered:
    """A float graph and every tensor of it that a recipe may speak of."""

    model: ir.Model
    linears: tuple[Linear, ...]
    embeddings: tuple[Embedding, ...]
    unquantized: tuple[str, ...]  # what else has weights, and every other MatMul: ``name: why it stays float``
    sorted_inputs: frozenset[str] = frozenset()  # inputs of linear layers with channels in the order of their ranges


def lower(model: ir.Model) -> Lowered:
    """Return a lowered copy of a float graph; raises NumericsError for a weight that is not finite."""
    copy = model.clone()
    for rewrite in PASSES:
        rewrite(copy)
    linears = find_linears(copy.graph)
    known = {node for linear in linears for node in linear.nodes}
    return Lowered(copy, linears, find_embeddings(copy.graph), left_out(copy.graph, known, UNFUSE.refusal))
