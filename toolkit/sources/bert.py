"""BERT: its embeddings, its layers' names and its classification head (arXiv 1810.04805)."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from toolkit.sources.encoder import EncoderBuilder, LayerNames

INPUTS = ("input_ids", "attention_mask", "token_type_ids")

NAMES = LayerNames(
    query="encoder.layer.{}.attention.self.query",
    key="encoder.layer.{}.attention.self.key",
    value="encoder.layer.{}.attention.self.value",
    attention_output="encoder.layer.{}.attention.output.dense",
    attention_norm="encoder.layer.{}.attention.output.LayerNorm",
    intermediate="encoder.layer.{}.intermediate.dense",
    output="encoder.layer.{}.output.dense",
    output_norm="encoder.layer.{}.output.LayerNorm",
)


def build_encoder(build: EncoderBuilder, inputs: Mapping[str, ir.Value]) -> ir.Value:
    """Append the whole encoder and return its token embeddings [b, s, h]."""
    x = _embed(build, inputs["input_ids"], inputs["token_type_ids"])
    bias = build.attention_bias(inputs["attention_mask"])
    for number in range(build.config.layers):
        x = build.layer(x, bias, NAMES, number)
    return x


def build_classifier(build: EncoderBuilder, tokens: ir.Value, labels: int) -> ir.Value:
    """Append tanh(dense([CLS])) and the classifier: [b, s, h] -> [b, labels]."""
    op, hidden = build.writer.op, build.config.hidden
    first = op("pooler/Gather", [tokens, build.writer.constant("first", np.array(0))], {"axis": 1})
    pooled = build.linear(first, "pooler.dense", "pooler.dense", (hidden, hidden))
    pooled = op("pooler/Tanh", [pooled], result="pooler")
    return build.linear(pooled, "classifier", "classifier", (hidden, labels))


def _embed(build: EncoderBuilder, ids: ir.Value, types: ir.Value) -> ir.Value:
    """Append word + token type + position embeddings and their normalization; positions are 0 … s-1."""
    op, constant, config = build.writer.op, build.writer.constant, build.config
    words = build.lookup(ids, "embeddings.word_embeddings.weight", config.vocabulary)
    kinds = build.lookup(types, "embeddings.token_type_embeddings.weight", config.token_types)
    name = "embeddings.position_embeddings"
    table = constant(f"{name}.weight", build.weights.take(f"{name}.weight", (config.positions, config.hidden)))
    length = op(f"{name}/Shape", [ids], {"start": 1, "end": 2})
    start = constant(f"{name}.start", np.array([0]))
    places = op(f"{name}/Slice", [table, start, length, start], result=name)
    places.shape, places.dtype = ir.Shape(("sequence", config.hidden)), ir.DataType.FLOAT
    total = op("embeddings/Add.position", [op("embeddings/Add.type", [words, kinds]), places])
    return build.norm(total, "embeddings.LayerNorm", "embeddings.LayerNorm")
