"""The heads of classifiers: two linear layers on the first token, or one on every token."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.sources.encoder import EncoderBuilder

TOKEN_HEAD = "classifier"  # noqa: S105 - what every family calls the one layer of its token classifier


@dataclass(frozen=True)
class HeadNames:
    """What a checkpoint calls the two linear layers, and the operator between them.

    The graph uses the names of BERT, ``pooler.dense`` and ``classifier``, whatever the family.
    """

    dense: str
    activation: str
    output: str


def classify(build: EncoderBuilder, tokens: ir.Value, names: HeadNames, labels: int) -> ir.Value:
    """Append output(activation(dense(first token))): [b, s, h] -> [b, labels]."""
    op, hidden = build.writer.op, build.config.hidden
    first = op("pooler/Gather", [tokens, build.writer.constant("first", np.array(0))], {"axis": 1})
    pooled = build.linear(first, names.dense, "pooler.dense", (hidden, hidden))
    pooled = op(f"pooler/{names.activation}", [pooled], result="pooler")
    return build.linear(pooled, names.output, "classifier", (hidden, labels))


def classify_tokens(build: EncoderBuilder, tokens: ir.Value, labels: int) -> ir.Value:
    """Append the one linear layer: [b, s, h] -> [b, s, labels]."""
    return build.linear(tokens, TOKEN_HEAD, "classifier", (build.config.hidden, labels))
