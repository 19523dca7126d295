"""Embedding tables as they stand in ONNX graphs: a Gather of rows from a constant matrix."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.lower.constants import constant
from toolkit.lower.linear import Float, require_finite


@dataclass(frozen=True)
class Embedding:
    """``output = table[indices]``; nodes and values are named, not referenced."""

    name: str
    indices: str
    output: str
    table: Float  # [rows, width]
    node: str


def find_embeddings(graph: ir.Graph) -> tuple[Embedding, ...]:
    """Return every lookup in a constant float matrix whose indices are computed or fed."""
    return tuple(found for node in graph if (found := _embedding(node)) is not None)


def _embedding(node: ir.Node) -> Embedding | None:
    if node.domain or node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 0:
        return None
    table, indices = node.inputs[0], node.inputs[1]
    rows = constant(table)
    if table is None or indices is None or rows is None or constant(indices) is not None:
        return None
    if rows.ndim != 2 or rows.dtype != np.float32:
        return None
    require_finite(rows, str(table.name))
    return Embedding(
        name=str(table.name),
        indices=str(indices.name),
        output=str(node.outputs[0].name),
        table=np.ascontiguousarray(rows, np.float32),
        node=str(node.name),
    )
