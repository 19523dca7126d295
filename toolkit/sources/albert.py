"""ALBERT (arXiv 1909.11942): narrow embeddings, and layers that share their weights."""

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from toolkit.sources.config import EncoderConfig, Keys, read_encoder_config, unsupported
from toolkit.sources.embeddings import embed_from_zero, project
from toolkit.sources.encoder import EncoderBuilder, LayerNames
from toolkit.sources.files import Fields


def read_config(fields: Fields) -> EncoderConfig:
    """Read ALBERT's config.json."""
    config = read_encoder_config(fields, Keys(width="embedding_size"))
    groups = fields.integer("num_hidden_groups", 1, minimum=1)
    if groups > config.layers:
        raise unsupported(fields, "num_hidden_groups", groups, f"at most num_hidden_layers = {config.layers}")
    return replace(config, groups=groups, inner=fields.integer("inner_group_num", 1, minimum=1))


def build_encoder(build: EncoderBuilder, inputs: Mapping[str, ir.Value]) -> ir.Value:
    """Append the whole encoder and return its token embeddings [b, s, h]."""
    config = build.config
    x = embed_from_zero(build, inputs["input_ids"], inputs["token_type_ids"])
    x = project(build, x, "encoder.embedding_hidden_mapping_in")
    bias = build.attention_bias(inputs["attention_mask"])
    for number in range(config.layers * config.inner):
        layer, inner = divmod(number, config.inner)
        group = int(layer / (config.layers / config.groups))  # as transformers rounds, groups of unequal size included
        x = build.layer(x, bias, _names(f"encoder.albert_layer_groups.{group}.albert_layers.{inner}"), number)
    return x


def _names(home: str) -> LayerNames:
    return LayerNames(
        query=f"{home}.attention.query",
        key=f"{home}.attention.key",
        value=f"{home}.attention.value",
        attention_output=f"{home}.attention.dense",
        attention_norm=f"{home}.attention.LayerNorm",
        intermediate=f"{home}.ffn",
        output=f"{home}.ffn_output",
        output_norm=f"{home}.full_layer_layer_norm",
    )
