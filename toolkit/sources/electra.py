"""ELECTRA (arXiv 2003.10555): BERT whose embeddings may be narrower than its layers."""

from collections.abc import Mapping

import onnx_ir as ir

from toolkit.sources import bert
from toolkit.sources.config import EncoderConfig, Keys, read_encoder_config
from toolkit.sources.embeddings import embed_from_zero, project
from toolkit.sources.encoder import EncoderBuilder
from toolkit.sources.files import Fields


def read_config(fields: Fields) -> EncoderConfig:
    """Read ELECTRA's config.json."""
    return read_encoder_config(fields, Keys(width="embedding_size"))


def build_encoder(build: EncoderBuilder, inputs: Mapping[str, ir.Value]) -> ir.Value:
    """Append the whole encoder and return its token embeddings [b, s, h]."""
    x = embed_from_zero(build, inputs["input_ids"], inputs["token_type_ids"])
    if build.config.width != build.config.hidden:
        x = project(build, x, "embeddings_project")
    return build.stack(x, build.attention_bias(inputs["attention_mask"]), bert.NAMES)
