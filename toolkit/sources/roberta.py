"""RoBERTa (arXiv 1907.11692), XLM-RoBERTa and CamemBERT: BERT with other positions and one token type."""

from collections.abc import Mapping

import onnx_ir as ir

from toolkit.sources import bert
from toolkit.sources.embeddings import embed_after_padding, only_type
from toolkit.sources.encoder import EncoderBuilder


def build_encoder(build: EncoderBuilder, inputs: Mapping[str, ir.Value]) -> ir.Value:
    """Append the whole encoder and return its token embeddings [b, s, h]."""
    x = embed_after_padding(build, inputs["input_ids"], only_type(build))
    return build.stack(x, build.attention_bias(inputs["attention_mask"]), bert.NAMES)
