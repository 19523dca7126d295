"""What was decided for the weights of a causal model, in the words of ``quantization.json``."""

from typing import Any

from toolkit.causal.plan import BlockPlan, LayerBlocks, TableBlocks
from toolkit.decisions import SCHEMA


def block_decisions(plan: BlockPlan) -> dict[str, Any]:
    """Return the plan as plain values, without its weights."""
    return {
        "schema": SCHEMA,
        "linear": [_layer(layer, plan) for layer in plan.layers],
        "embedding": [_table(table) for table in plan.tables],
        "float": [],
    }


def _layer(layer: LayerBlocks, plan: BlockPlan) -> dict[str, Any]:
    return {
        "name": layer.linear.name,
        "shape": list(layer.linear.weight.shape),
        "precision": f"int{layer.blocks.bits}",
        "why": [layer.why],
        "sqnr_db": round(layer.sqnr_db, 3),
        "block_size": layer.blocks.size,
        "rounding": "GPTQ" if plan.calibrated and layer.blocks.bits == 4 else "plain",
    }


def _table(table: TableBlocks) -> dict[str, Any]:
    return {
        "name": table.embedding.name,
        "shape": list(table.embedding.table.shape),
        "precision": "float" if table.blocks is None else f"int{table.blocks.bits}",
        "why": [table.why],
    }
