"""The sum of embeddings that an encoder starts from. Shapes: b batch, s sequence, w width of the embeddings."""

import numpy as np
import onnx_ir as ir

from toolkit.sources.encoder import EncoderBuilder
from toolkit.sources.weights import Array

_WORDS = "embeddings.word_embeddings"
_TYPES = "embeddings.token_type_embeddings"
_PLACES = "embeddings.position_embeddings"


def embed_from_zero(build: EncoderBuilder, ids: ir.Value, types: ir.Value | None) -> ir.Value:
    """Append word + token type + position embeddings, normalized; positions are 0 … s-1: [b, s] -> [b, s, w]."""
    op, constant, config = build.writer.op, build.writer.constant, build.config
    total = build.lookup(ids, _WORDS, _table(build, _WORDS, config.vocabulary))
    if types is not None:
        kinds = build.lookup(types, _TYPES, _table(build, _TYPES, config.token_types))
        total = op("embeddings/Add.type", [total, kinds])
    table = constant(f"{_PLACES}.weight", _table(build, _PLACES, config.positions))
    places = first_rows(build, table, ids, _PLACES)
    places.shape, places.dtype = ir.Shape(("sequence", config.width)), ir.DataType.FLOAT
    total = op("embeddings/Add.position", [total, places])
    return build.norm(total, "embeddings.LayerNorm", "embeddings.LayerNorm", config.width)


def embed_after_padding(build: EncoderBuilder, ids: ir.Value, types: Array | None = None) -> ir.Value:
    """Append word + position embeddings, normalized; positions count the tokens that are not padding.

    As ``create_position_ids_from_input_ids`` in transformers' ``modeling_roberta.py``: the padding's row of the
    table is its token id's, the first token has the next one. The rows before are left out. ``types`` [w], the
    embedding of the only token type, is added to all rows.
    """
    op, config = build.writer.op, build.config
    padding = build.writer.constant("padding", np.array(config.padding))
    text = op(f"{_PLACES}/Not", [op(f"{_PLACES}/Equal", [ids, padding])])
    text = build.writer.cast(f"{_PLACES}/Cast", text, ir.DataType.INT64)
    axis = build.writer.constant(f"{_PLACES}.axis", np.array(1))
    places = op(f"{_PLACES}/Mul", [op(f"{_PLACES}/CumSum", [text, axis]), text])
    table = _table(build, _PLACES, config.positions)[config.padding :]
    words = build.lookup(ids, _WORDS, _table(build, _WORDS, config.vocabulary))
    rows = build.lookup(places, _PLACES, table if types is None else table + types)
    total = op("embeddings/Add.position", [words, rows])
    return build.norm(total, "embeddings.LayerNorm", "embeddings.LayerNorm", config.width)


def only_type(build: EncoderBuilder) -> Array:
    """Return the embedding of token type 0, the only one that the family's tokenizers give: [w]."""
    row: Array = _table(build, _TYPES, build.config.token_types)[0]
    return row


def first_rows(build: EncoderBuilder, table: ir.Value, ids: ir.Value, scope: str) -> ir.Value:
    """Append the first s rows of a table: [rows, …] -> [s, …]."""
    start = build.writer.constant("sequence.start", np.array([0]))
    return build.writer.op(f"{scope}/Slice", [table, start, build.length(ids), start], result=scope)


def project(build: EncoderBuilder, x: ir.Value, source: str) -> ir.Value:
    """Append the linear layer from the embeddings' width to the hidden size: [b, s, w] -> [b, s, h]."""
    return build.linear(x, source, "embeddings_project", (build.config.width, build.config.hidden))


def _table(build: EncoderBuilder, scope: str, rows: int) -> Array:
    return build.weights.take(f"{scope}.weight", (rows, build.config.width))
