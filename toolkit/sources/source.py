"""What every model source gives: a float graph of one text model, its tokenizer, and what they are for."""

from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from toolkit.runtime.manifest import Task

Pooling = Literal["mean", "cls", "max"]


@dataclass(frozen=True)
class Source:
    """A float text model as edgequant works on it.

    ``model`` takes int64 ``input_ids`` and ``attention_mask``, and ``token_type_ids`` where the graph has it,
    each [batch, sequence] with both axes dynamic, and has exactly one output named ``output``: float32
    ``sentence_embedding`` [batch, dimension] for embeddings, ``logits`` [batch, labels] for classification,
    [batch, 1] for reranking, [batch, sequence, labels] for token classification.
    """

    name: str
    model: ir.Model
    task: Task
    output: str
    tokenizer_json: str  # no truncation, no padding: the runtime sets both
    max_length: int  # tokens of one text, special tokens included
    pad_id: int
    labels: tuple[str, ...]  # of (token) classification, in the order of the logits
    multi_label: bool  # sigmoid per label instead of one softmax
    pooling: str | None  # put into the graph: a Pooling, or several as in "cls+mean"; None where the graph came with it
    normalize: bool  # put into the graph, as its last step
    digest: str  # sha256 over the files that were read
    built_by: str  # "edgequant", "onnx file" or "optimum VERSION"
    origin: str | None = None  # "hub:ID@COMMIT"; None for files of the user's own
