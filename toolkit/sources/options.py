"""What the user says about a model, where the model's own files leave it open or are to be overruled."""

from dataclasses import dataclass
from pathlib import Path

from toolkit.runtime.manifest import Task
from toolkit.sources.source import Pooling


@dataclass(frozen=True)
class SourceOptions:
    """Every field is None where the model's own files decide."""

    task: Task | None = None
    pooling: Pooling | None = None
    normalize: bool | None = None
    tokenizer: Path | None = None  # a tokenizer.json
    max_length: int | None = None  # tokens of one text, special tokens included
    name: str | None = None
    quantized: bool = False  # an ONNX file may be int8 already: it is to be judged, not quantized
    revision: str | None = None  # of a hub id: a commit, branch or tag
    origin: str | None = None  # where a folder came from, if it is not its own home
