"""Pooling of token embeddings into one sentence embedding, and normalization, appended to any encoder graph.

The formulas are those of sentence-transformers' ``models/Pooling.py`` and ``models/Normalize.py``.
Shapes: b batch, s sequence, h hidden.
"""

import numpy as np
import onnx_ir as ir

from toolkit.sources.source import Pooling
from toolkit.sources.writer import GraphWriter


def pool(writer: GraphWriter, tokens: ir.Value, mask: ir.Value, pooling: Pooling) -> ir.Value:
    """Append the pooling: [b, s, h] and [b, s] -> [b, h]. Padding does not count."""
    if pooling == "cls":
        first = writer.constant("pooling.first", np.array(0))
        return writer.op("pooling/Gather", [tokens, first], {"axis": 1}, result="pooling")
    last = writer.constant("pooling.last_axis", np.array([-1]))
    wide = writer.op("pooling/Unsqueeze", [mask, last])
    return _mean(writer, tokens, wide) if pooling == "mean" else _max(writer, tokens, wide)


def normalize(writer: GraphWriter, pooled: ir.Value) -> ir.Value:
    """Append x / ‖x‖₂; a zero vector stays zero."""
    return writer.op("normalize/LpNormalization", [pooled], {"axis": -1, "p": 2}, result="normalize")


def _mean(writer: GraphWriter, tokens: ir.Value, mask: ir.Value) -> ir.Value:
    axis = writer.constant("pooling.axis", np.array([1]))
    share = writer.cast("pooling/Cast", mask, ir.DataType.FLOAT)
    total = writer.op("pooling/ReduceSum", [writer.op("pooling/Mul", [tokens, share]), axis], {"keepdims": 0})
    count = writer.op("pooling/ReduceSum.count", [share, axis], {"keepdims": 0})
    least = writer.constant("pooling.least", np.array(1e-9, np.float32))  # an empty mask divides by this, not by 0
    return writer.op("pooling/Div", [total, writer.op("pooling/Max", [count, least])], result="pooling")


def _max(writer: GraphWriter, tokens: ir.Value, mask: ir.Value) -> ir.Value:
    lowest = writer.constant("pooling.lowest", np.array(np.finfo(np.float32).min))
    text = writer.op("pooling/Where", [writer.cast("pooling/Cast", mask, ir.DataType.BOOL), tokens, lowest])
    if writer.opset < 18:  # the axes were an attribute until then
        return writer.op("pooling/ReduceMax", [text], {"axes": [1], "keepdims": 0}, result="pooling")
    axis = writer.constant("pooling.axis", np.array([1]))
    return writer.op("pooling/ReduceMax", [text, axis], {"keepdims": 0}, result="pooling")
