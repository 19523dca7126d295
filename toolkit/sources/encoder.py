"""The transformer encoder that BERT and its relatives share, from config and weights to a float ONNX graph.

Architecture: Vaswani et al. 2017 (arXiv 1706.03762) in the post-norm form of BERT (arXiv 1810.04805); the
numerics follow transformers' ``modeling_bert.py``. Shapes: b batch, s sequence, h hidden, n heads, d = h/n.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.sources.config import ACTIVATIONS, EncoderConfig
from toolkit.sources.weights import Array, Weights
from toolkit.sources.writer import GraphWriter


@dataclass(frozen=True)
class LayerNames:
    """What a checkpoint calls the modules of one layer; ``{}``, if it is there, is the number of the layer.

    The graph uses the names of BERT whatever the family, so that reports and rules read the same.
    """

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    intermediate: str
    output: str
    output_norm: str


class EncoderBuilder:
    """Writes the parts of one encoder into one graph, taking its weights as it goes."""

    def __init__(self, writer: GraphWriter, weights: Weights, config: EncoderConfig) -> None:
        self.writer = writer
        self.weights = weights
        self.config = config
        self._homes: dict[str, str] = {}  # module of the checkpoint: the first scope that uses it
        self._length: ir.Value | None = None

    def linear(self, x: ir.Value, source: str, scope: str, sizes: tuple[int, int], scale: float = 1.0) -> ir.Value:
        """Append x·Wᵀ + b as MatMul and Add; ``sizes`` are (in, out), ``scale`` goes into both weights."""
        weight = self._parameter(source, scope, "weight", lambda name: self._matrix(name, sizes) * np.float32(scale))
        bias = self._parameter(
            source, scope, "bias", lambda name: self.weights.take(name, sizes[1:]) * np.float32(scale)
        )
        product = self.writer.op(f"{scope}/MatMul", [x, weight])
        return self.writer.op(f"{scope}/Add", [product, bias], result=scope)

    def norm(self, x: ir.Value, source: str, scope: str, size: int = 0) -> ir.Value:
        """Append a layer normalization over the last axis, of ``size``, else of the hidden size."""
        shape = (size or self.config.hidden,)
        scale, bias = (
            self._parameter(source, scope, part, lambda name: self.weights.take(name, shape))
            for part in ("weight", "bias")
        )
        attributes = {"axis": -1, "epsilon": self.config.epsilon}
        return self.writer.op(f"{scope}/LayerNormalization", [x, scale, bias], attributes, result=scope)

    def lookup(self, ids: ir.Value, scope: str, table: Array) -> ir.Value:
        """Append a Gather of rows of an embedding table: [b, s] -> [b, s, width]."""
        return self.writer.op(f"{scope}/Gather", [self.writer.constant(f"{scope}.weight", table), ids], result=scope)

    def _matrix(self, name: str, sizes: tuple[int, int]) -> Array:
        return self.weights.take(name, (sizes[1], sizes[0])).T

    def _parameter(self, source: str, scope: str, part: str, make: Callable[[str], Array]) -> ir.Value:
        """Return an initializer made of the tensor ``source.part``: one, however many scopes share the tensor."""
        name = f"{self._homes.setdefault(source, scope)}.{part}"
        known = self.writer.graph.initializers.get(name)
        return self.writer.constant(name, make(f"{source}.{part}")) if known is None else known

    def attention_bias(self, mask: ir.Value) -> ir.Value:
        """Append what is added to the scores, 0 for text and the lowest float for padding: [b, 1, 1, s].

        The lowest float is finite, so a row of padding alone gives finite numbers; 0 changes nothing at all.
        """
        op, constant, scope = self.writer.op, self.writer.constant, "attention_bias"
        axes = constant(f"{scope}.axes", np.array([1, 2]))
        wide = op(f"{scope}/Unsqueeze", [self.writer.cast(f"{scope}/Cast", mask, ir.DataType.FLOAT), axes])
        absent = op(f"{scope}/Sub", [constant("one", np.array(1, np.float32)), wide])
        lowest = constant("lowest", np.array(np.finfo(np.float32).min))
        return op(f"{scope}/Mul", [absent, lowest], result=scope)

    def length(self, ids: ir.Value) -> ir.Value:
        """Return the length of the sequences, [1] of int64; the one node for it is appended at the first call."""
        if self._length is None:
            self._length = self.writer.op("sequence/Shape", [ids], {"start": 1, "end": 2})
        return self._length

    def stack(self, x: ir.Value, bias: ir.Value, names: LayerNames) -> ir.Value:
        """Append all layers, with ``bias`` added to the scores of each: [b, s, h] -> [b, s, h]."""
        for number in range(self.config.layers):
            x = self.layer(x, bias, names, number)
        return x

    def layer(self, x: ir.Value, bias: ir.Value, names: LayerNames, number: int) -> ir.Value:
        """Append layer ``number``: [b, s, h] -> [b, s, h]."""
        c, scope = self.config, f"encoder.layer.{number}"
        y = self._attention(x, bias, names, number)
        y = self.linear(
            y, names.attention_output.format(number), f"{scope}.attention.output.dense", (c.hidden, c.hidden)
        )
        y = self.writer.op(f"{scope}.attention.output/Add", [y, x])
        x = self.norm(y, names.attention_norm.format(number), f"{scope}.attention.output.LayerNorm")
        y = self.linear(x, names.intermediate.format(number), f"{scope}.intermediate.dense", (c.hidden, c.intermediate))
        kind, approximate = ACTIVATIONS[c.activation]
        attributes = {"approximate": approximate} if approximate else None
        y = self.writer.op(f"{scope}.intermediate/{kind}", [y], attributes, result=f"{scope}.intermediate")
        y = self.linear(y, names.output.format(number), f"{scope}.output.dense", (c.intermediate, c.hidden))
        y = self.writer.op(f"{scope}.output/Add", [y, x])
        return self.norm(y, names.output_norm.format(number), f"{scope}.output.LayerNorm")

    def _attention(self, x: ir.Value, bias: ir.Value, names: LayerNames, number: int) -> ir.Value:
        """Append softmax(q·kᵀ/√d + bias)·v; the 1/√d is in the query's weights: [b, s, h] -> [b, s, h]."""
        hidden, op = self.config.hidden, self.writer.op
        scope = f"encoder.layer.{number}.attention.self"
        split = self.writer.constant(
            "attention.split", np.array([0, 0, self.config.heads, hidden // self.config.heads])
        )
        merge = self.writer.constant("attention.merge", np.array([0, 0, hidden]))

        def heads(part: str, source: str, perm: tuple[int, ...], scale: float = 1.0) -> ir.Value:
            y = self.linear(x, source.format(number), f"{scope}.{part}", (hidden, hidden), scale)
            y = op(f"{scope}.{part}/Reshape", [y, split])
            return op(f"{scope}.{part}/Transpose", [y], {"perm": perm})

        query = heads("query", names.query, (0, 2, 1, 3), (hidden // self.config.heads) ** -0.5)
        key = heads("key", names.key, (0, 2, 3, 1))
        value = heads("value", names.value, (0, 2, 1, 3))
        scores = op(f"{scope}.scores/MatMul", [query, key])
        scores = op(f"{scope}.scores/Add", [scores, bias], result=f"{scope}.scores")
        share = op(f"{scope}/Softmax", [scores], {"axis": -1}, result=f"{scope}.probabilities")
        context = op(f"{scope}.context/MatMul", [share, value])
        context = op(f"{scope}.context/Transpose", [context], {"perm": (0, 2, 1, 3)})
        return op(f"{scope}.context/Reshape", [context, merge], result=f"{scope}.context")
