"""From token embeddings to one sentence embedding, appended to any encoder graph.

The formulas are those of sentence-transformers' ``models/Pooling.py``, ``models/Dense.py`` and
``models/Normalize.py``. Shapes: b batch, s sequence, h hidden.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.errors import ModelError
from toolkit.sources.options import SourceOptions
from toolkit.sources.sentence_transformers import Dense, Modules, Normalize
from toolkit.sources.source import Pooling
from toolkit.sources.writer import GraphWriter


@dataclass(frozen=True)
class Tail:
    """What follows the encoder: poolings, of which several are concatenated, and layers after them."""

    pooling: tuple[Pooling, ...]
    steps: tuple[Dense | Normalize, ...]

    @property
    def pooling_name(self) -> str:
        """The poolings as one word: ``mean``, ``cls+mean``."""
        return "+".join(self.pooling)

    @property
    def normalizes(self) -> bool:
        """Whether embeddings have length 1."""
        return bool(self.steps) and isinstance(self.steps[-1], Normalize)


def tail_of(modules: Modules | None, options: SourceOptions) -> Tail:
    """Return what follows the encoder: the user's word, modules.json, the mean."""
    pooling: tuple[Pooling, ...] = (options.pooling,) if options.pooling else modules.pooling if modules else ("mean",)
    tail = Tail(pooling, modules.steps if modules else ())
    if options.normalize and not tail.normalizes:
        return Tail(pooling, (*tail.steps, Normalize()))
    if options.normalize is False:
        return Tail(pooling, tuple(step for step in tail.steps if isinstance(step, Dense)))
    return tail


def finish_embedding(
    writer: GraphWriter, tokens: ir.Value, hidden: int, mask: ir.Value, tail: Tail
) -> tuple[ir.Value, int]:
    """Append ``tail``: [b, s, h] and [b, s] -> [b, size]; return its result and the size.

    ModelError where a Dense module takes another size than what comes before it gives.
    """
    x, size = _pool_all(writer, tokens, mask, tail.pooling), hidden * len(tail.pooling)
    for place, step in enumerate(tail.steps, 2):
        if isinstance(step, Normalize):
            x = normalize(writer, x, "normalize" if place == len(tail.steps) + 1 else f"normalize.{place}")
            continue
        if step.weight.shape[1] != size:
            got, expected = f"in_features = {step.weight.shape[1]}", f"{size}, the size of what comes before it"
            raise ModelError("the Dense module does not fit the model", where=step.name, got=got, expected=expected)
        x, size = _dense(writer, x, step), step.weight.shape[0]
    return x, size


def normalize(writer: GraphWriter, pooled: ir.Value, scope: str = "normalize") -> ir.Value:
    """Append x / ‖x‖₂; a zero vector stays zero."""
    return writer.op(f"{scope}/LpNormalization", [pooled], {"axis": -1, "p": 2}, result=scope)


def _dense(writer: GraphWriter, x: ir.Value, step: Dense) -> ir.Value:
    x = writer.op(f"{step.name}/MatMul", [x, writer.constant(f"{step.name}.weight", step.weight.T)])
    if step.bias is not None:
        x = writer.op(f"{step.name}/Add", [x, writer.constant(f"{step.name}.bias", step.bias)])
    return writer.op(f"{step.name}/{step.activation}", [x]) if step.activation else x


def _pool_all(writer: GraphWriter, tokens: ir.Value, mask: ir.Value, ways: tuple[Pooling, ...]) -> ir.Value:
    if len(ways) == 1:
        return _pool(writer, tokens, mask, ways[0], "pooling")
    parts = [_pool(writer, tokens, mask, way, f"pooling.{way}") for way in ways]
    return writer.op("pooling/Concat", parts, {"axis": -1}, result="pooling")


def _pool(writer: GraphWriter, tokens: ir.Value, mask: ir.Value, way: Pooling, scope: str) -> ir.Value:
    """Append one pooling: [b, s, h] and [b, s] -> [b, h]. Padding does not count."""
    if way == "cls":
        first = writer.constant("pooling.first", np.array(0))
        return writer.op(f"{scope}/Gather", [tokens, first], {"axis": 1}, result=scope)
    last = writer.constant("pooling.last_axis", np.array([-1]))
    wide = writer.op(f"{scope}/Unsqueeze", [mask, last])
    return _mean(writer, tokens, wide, scope) if way == "mean" else _max(writer, tokens, wide, scope)


def _mean(writer: GraphWriter, tokens: ir.Value, mask: ir.Value, scope: str) -> ir.Value:
    axis = writer.constant("pooling.axis", np.array([1]))
    share = writer.cast(f"{scope}/Cast", mask, ir.DataType.FLOAT)
    total = writer.op(f"{scope}/ReduceSum", [writer.op(f"{scope}/Mul", [tokens, share]), axis], {"keepdims": 0})
    count = writer.op(f"{scope}/ReduceSum.count", [share, axis], {"keepdims": 0})
    least = writer.constant("pooling.least", np.array(1e-9, np.float32))  # an empty mask divides by this, not by 0
    return writer.op(f"{scope}/Div", [total, writer.op(f"{scope}/Max", [count, least])], result=scope)


def _max(writer: GraphWriter, tokens: ir.Value, mask: ir.Value, scope: str) -> ir.Value:
    lowest = writer.constant("pooling.lowest", np.array(np.finfo(np.float32).min))
    text = writer.op(f"{scope}/Where", [writer.cast(f"{scope}/Cast", mask, ir.DataType.BOOL), tokens, lowest])
    if writer.opset < 18:  # the axes were an attribute until then
        return writer.op(f"{scope}/ReduceMax", [text], {"axes": [1], "keepdims": 0}, result=scope)
    axis = writer.constant("pooling.axis", np.array([1]))
    return writer.op(f"{scope}/ReduceMax", [text, axis], {"keepdims": 0}, result=scope)
