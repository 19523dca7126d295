"""DistilBERT (arXiv 1910.01108): BERT without token types, under other names."""

from collections.abc import Mapping

import onnx_ir as ir

from toolkit.sources.config import EncoderConfig, Keys, read_encoder_config
from toolkit.sources.embeddings import embed_from_zero
from toolkit.sources.encoder import EncoderBuilder, LayerNames
from toolkit.sources.files import Fields

_KEYS = Keys(hidden="dim", layers="n_layers", heads="n_heads", intermediate="hidden_dim", activation="activation")
_NAMES = LayerNames(
    query="transformer.layer.{}.attention.q_lin",
    key="transformer.layer.{}.attention.k_lin",
    value="transformer.layer.{}.attention.v_lin",
    attention_output="transformer.layer.{}.attention.out_lin",
    attention_norm="transformer.layer.{}.sa_layer_norm",
    intermediate="transformer.layer.{}.ffn.lin1",
    output="transformer.layer.{}.ffn.lin2",
    output_norm="transformer.layer.{}.output_layer_norm",
)


def read_config(fields: Fields) -> EncoderConfig:
    """Read DistilBERT's config.json."""
    return read_encoder_config(fields, _KEYS)


def build_encoder(build: EncoderBuilder, inputs: Mapping[str, ir.Value]) -> ir.Value:
    """Append the whole encoder and return its token embeddings [b, s, h]."""
    x = embed_from_zero(build, inputs["input_ids"], None)
    return build.stack(x, build.attention_bias(inputs["attention_mask"]), _NAMES)
