"""Which weights of a causal model get how many bits, and their numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.causal.curvature import Sight, curvatures
from toolkit.errors import ModelError
from toolkit.lower.embedding import Embedding, find_embeddings
from toolkit.lower.linear import Linear, find_linears
from toolkit.numerics.blocks import Blocks, Doubles, quantize_blocks
from toolkit.numerics.sqnr import sqnr_db
from toolkit.progress import Track, silent
from toolkit.targets import Bits, TextGeneration

TIED = "The table is the output layer's own weight: its codes serve for both."
TABLE = "A row of the table is looked up, not multiplied: 8 bits in blocks."
ODD = "Its rows are no whole number of blocks: it stays float."


@dataclass(frozen=True)
class LayerBlocks:
    """A linear layer's weight in blocks, and why so many bits."""

    linear: Linear
    blocks: Blocks
    why: str
    sqnr_db: float  # of the weight; with GPTQ its error at the output is the smaller one


@dataclass(frozen=True)
class TableBlocks:
    """An embedding table in blocks along its rows; ``blocks`` holds it transposed, None where it stays float."""

    embedding: Embedding
    blocks: Blocks | None
    layer: str | None  # the linear layer whose codes it shares
    why: str


@dataclass(frozen=True)
class BlockPlan:
    """Every decision, in the order of the graph."""

    layers: tuple[LayerBlocks, ...]
    tables: tuple[TableBlocks, ...]
    settings: TextGeneration
    calibrated: bool


def plan_blocks(model: ir.Model, settings: TextGeneration, sight: Sight | None, track: Track = silent) -> BlockPlan:
    """Quantize all weights, those of 4 bits by GPTQ where the graph may be observed.

    ModelError where there is nothing to quantize.
    """
    linears = find_linears(model.graph)
    if not linears:
        hint = "give the float model: a graph that is quantized already cannot be quantized again"
        raise ModelError("the graph has no linear layer in float32", where=str(model.graph.name), hint=hint)
    decided = {linear.name: settings.decide(linear.name) for linear in linears}
    coarse = [linear for linear in linears if decided[linear.name][0] == 4]
    done: dict[str, LayerBlocks] = {}
    seen = curvatures(model, coarse, sight, track) if sight and coarse else ()
    for found in seen:
        now = [linear for linear in coarse if linear.input in found]
        for linear in track(now, "round layers", len(now)):
            done[linear.name] = _layer(linear, decided[linear.name], settings, found[linear.input])
    rest = [linear for linear in linears if linear.name not in done]
    for linear in track(rest, "round layers", len(rest)):
        done[linear.name] = _layer(linear, decided[linear.name], settings, None)
    layers = tuple(done[linear.name] for linear in linears)
    return BlockPlan(layers, tuple(_tables(model.graph, layers, settings)), settings, bool(coarse and sight))


def _layer(
    linear: Linear, decided: tuple[Bits, str], settings: TextGeneration, curvature: Doubles | None
) -> LayerBlocks:
    bits, why = decided
    blocks = quantize_blocks(linear.weight, bits, settings.block_size, curvature)
    return LayerBlocks(linear, blocks, why, sqnr_db(linear.weight, blocks.real()))


def _tables(graph: ir.Graph, layers: Sequence[LayerBlocks], settings: TextGeneration) -> Iterator[TableBlocks]:
    for embedding in find_embeddings(graph):
        table = np.ascontiguousarray(embedding.table.T)
        tied = next((layer for layer in layers if _same(layer, table)), None)
        if len(table) % settings.block_size:
            yield TableBlocks(embedding, None, None, ODD)
        elif tied is not None:
            yield TableBlocks(embedding, tied.blocks, tied.linear.name, TIED)
        else:
            yield TableBlocks(embedding, quantize_blocks(table, 8, settings.block_size), None, TABLE)


def _same(layer: LayerBlocks, table: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    """Tell whether a layer's weight is the table; only codes of 8 bits serve for both."""
    return layer.blocks.bits == 8 and np.array_equal(layer.linear.weight, table)
