"""The transformer encoder that BERT and its relatives share, from config and weights to a float ONNX graph.

Architecture: Vaswani et al. 2017 (arXiv 1706.03762) in the post-norm form of BERT (arXiv 1810.04805); the
numerics follow transformers' ``modeling_bert.py``. Shapes: b batch, s sequence, h hidden, n heads, d = h/n.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.errors import ModelError
from toolkit.sources.files import Fields
from toolkit.sources.weights import Weights
from toolkit.sources.writer import GraphWriter

# hidden_act of config.json: the operator, and how Gelu approximates (transformers/activations.py).
_ACTIVATIONS = {
    "gelu": ("Gelu", "none"),
    "gelu_python": ("Gelu", "none"),
    "gelu_new": ("Gelu", "tanh"),
    "gelu_fast": ("Gelu", "tanh"),
    "gelu_pytorch_tanh": ("Gelu", "tanh"),
    "relu": ("Relu", ""),
}


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes and constants of one encoder."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int
    activation: str
    epsilon: float


@dataclass(frozen=True)
class LayerNames:
    """What a checkpoint calls the modules of one layer; ``{}`` is the number of the layer.

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


def read_encoder_config(fields: Fields) -> EncoderConfig:
    """Read BERT's keys of config.json; ModelError where they ask for what the builder does not do."""
    kind = fields.text("position_embedding_type", "absolute")
    if kind != "absolute":
        raise _unsupported(fields, "position_embedding_type", kind, "absolute")
    for name in ("is_decoder", "add_cross_attention"):
        if fields.flag(name, default=False):
            raise _unsupported(fields, name, "true", "false: an encoder")
    activation = fields.text("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise _unsupported(fields, "hidden_act", activation, ", ".join(_ACTIVATIONS))
    config = EncoderConfig(
        hidden=fields.integer("hidden_size", minimum=1),
        layers=fields.integer("num_hidden_layers", minimum=1),
        heads=fields.integer("num_attention_heads", minimum=1),
        intermediate=fields.integer("intermediate_size", minimum=1),
        vocabulary=fields.integer("vocab_size", minimum=1),
        positions=fields.integer("max_position_embeddings", minimum=1),
        token_types=fields.integer("type_vocab_size", 2, minimum=1),
        activation=activation,
        epsilon=fields.number("layer_norm_eps", 1e-12),
    )
    if config.hidden % config.heads:
        got = f"{config.hidden} and {config.heads}"
        raise ModelError("num_attention_heads does not divide hidden_size", where=fields.path, got=got)
    return config


class EncoderBuilder:
    """Writes the parts of one encoder into one graph, taking its weights as it goes."""

    def __init__(self, writer: GraphWriter, weights: Weights, config: EncoderConfig) -> None:
        self.writer = writer
        self.weights = weights
        self.config = config

    def linear(self, x: ir.Value, source: str, scope: str, sizes: tuple[int, int], scale: float = 1.0) -> ir.Value:
        """Append x·Wᵀ + b as MatMul and Add; ``sizes`` are (in, out), ``scale`` goes into both weights."""
        weight = self.weights.take(f"{source}.weight", (sizes[1], sizes[0])).T * np.float32(scale)
        bias = self.weights.take(f"{source}.bias", (sizes[1],)) * np.float32(scale)
        product = self.writer.op(f"{scope}/MatMul", [x, self.writer.constant(f"{scope}.weight", weight)])
        return self.writer.op(f"{scope}/Add", [product, self.writer.constant(f"{scope}.bias", bias)], result=scope)

    def norm(self, x: ir.Value, source: str, scope: str) -> ir.Value:
        """Append a layer normalization over the last axis."""
        size = (self.config.hidden,)
        scale, bias = (
            self.writer.constant(f"{scope}.{part}", self.weights.take(f"{source}.{part}", size))
            for part in ("weight", "bias")
        )
        attributes = {"axis": -1, "epsilon": self.config.epsilon}
        return self.writer.op(f"{scope}/LayerNormalization", [x, scale, bias], attributes, result=scope)

    def lookup(self, ids: ir.Value, name: str, rows: int) -> ir.Value:
        """Append a Gather of rows of an embedding table: [b, s] -> [b, s, h]."""
        scope = name.removesuffix(".weight")
        table = self.writer.constant(name, self.weights.take(name, (rows, self.config.hidden)))
        return self.writer.op(f"{scope}/Gather", [table, ids], result=scope)

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
        kind, approximate = _ACTIVATIONS[c.activation]
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


def _unsupported(fields: Fields, key: str, got: str, expected: str) -> ModelError:
    hint = "export the model to ONNX (optimum-cli export onnx) and give edgequant that folder"
    return ModelError(f"{key} = {got} is not supported by the builder", where=fields.path, expected=expected, hint=hint)
