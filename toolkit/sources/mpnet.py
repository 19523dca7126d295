"""MPNet (arXiv 2004.09297): RoBERTa's positions, and a bias of the attention by the distance of two tokens."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from toolkit.sources.config import EncoderConfig, Keys, read_encoder_config, unsupported
from toolkit.sources.embeddings import embed_after_padding, first_rows
from toolkit.sources.encoder import EncoderBuilder, LayerNames
from toolkit.sources.files import Fields

_BUCKETS, _MAX_DISTANCE, _PADDING = 32, 128, 1  # modeling_mpnet.py has all three fixed
_NAMES = LayerNames(
    query="encoder.layer.{}.attention.attn.q",
    key="encoder.layer.{}.attention.attn.k",
    value="encoder.layer.{}.attention.attn.v",
    attention_output="encoder.layer.{}.attention.attn.o",
    attention_norm="encoder.layer.{}.attention.LayerNorm",
    intermediate="encoder.layer.{}.intermediate.dense",
    output="encoder.layer.{}.output.dense",
    output_norm="encoder.layer.{}.output.LayerNorm",
)


def read_config(fields: Fields) -> EncoderConfig:
    """Read MPNet's config.json."""
    for key, value in (("relative_attention_num_buckets", _BUCKETS), ("pad_token_id", _PADDING)):
        got = fields.integer(key, value)
        if got != value:
            raise unsupported(fields, key, got, str(value))
    return read_encoder_config(fields, Keys(default_padding=_PADDING))


def build_encoder(build: EncoderBuilder, inputs: Mapping[str, ir.Value]) -> ir.Value:
    """Append the whole encoder and return its token embeddings [b, s, h]."""
    x = embed_after_padding(build, inputs["input_ids"])
    padding = build.attention_bias(inputs["attention_mask"])
    near = _distance_bias(build, inputs["input_ids"])
    return build.stack(x, build.writer.op("attention_bias/Add", [near, padding]), _NAMES)


def distance_buckets(distance: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the bucket of each distance key - query: T5's, bidirectional (arXiv 1910.10683, section 2.1).

    In each direction the first 8 distances have a bucket each and 8 more grow with the logarithm up to 128.
    """
    half = _BUCKETS // 2
    exact = half // 2
    steps = np.abs(distance)
    ratio = np.maximum(steps, 1).astype(np.float32) / np.float32(exact)
    growth = np.log(ratio) / np.float32(np.log(_MAX_DISTANCE / exact)) * np.float32(half - exact)
    far = np.minimum(exact + growth.astype(np.int64), half - 1)
    return np.where(distance > 0, half, 0) + np.where(steps < exact, steps, far)


def _distance_bias(build: EncoderBuilder, ids: ir.Value) -> ir.Value:
    """Append what distances add to the scores: [b, s] -> [1, n, s, s].

    One row per distance: to copy rows and transpose is five times faster than to copy numbers along the last axis.
    """
    scope, config = "relative_attention_bias", build.config
    op, constant, reach = build.writer.op, build.writer.constant, config.positions - 1
    table = build.weights.take("encoder.relative_attention_bias.weight", (_BUCKETS, config.heads))
    by_distance = table[distance_buckets(np.arange(-reach, reach + 1))]
    keys = constant(f"{scope}.all_keys", np.arange(reach, 2 * reach + 1))
    queries = constant(f"{scope}.all_queries", np.arange(config.positions)[:, None])
    row = first_rows(build, keys, ids, f"{scope}.keys")
    column = first_rows(build, queries, ids, f"{scope}.queries")
    distances = op(f"{scope}/Sub", [row, column])
    bias = op(f"{scope}/Gather", [constant(f"{scope}.weight", by_distance[:, None]), distances])
    return op(f"{scope}/Transpose", [bias], {"perm": (2, 3, 0, 1)}, result=scope)
