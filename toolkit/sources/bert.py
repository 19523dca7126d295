"""BERT and what differs from it in names alone: its layers and heads (arXiv 1810.04805)."""

from collections.abc import Mapping

import onnx_ir as ir

from toolkit.sources.embeddings import embed_from_zero
from toolkit.sources.encoder import EncoderBuilder, LayerNames

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
    x = embed_from_zero(build, inputs["input_ids"], inputs["token_type_ids"])
    return build.stack(x, build.attention_bias(inputs["attention_mask"]), NAMES)
