"""What the two ways to a graph give: a source that lacks its tokenizer, its name and its digest."""

from dataclasses import dataclass

import onnx_ir as ir

from toolkit.errors import UsageError
from toolkit.runtime.manifest import Task
from toolkit.sources.options import SourceOptions


@dataclass(frozen=True)
class Draft:
    """A float graph with its one output, and what it is for; the fields are those of Source."""

    model: ir.Model
    task: Task
    output: str
    built_by: str
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    pooling: str | None = None
    normalize: bool = False


def refuse_pooling(options: SourceOptions, reason: str) -> None:
    """Raise UsageError if the user asks for a pooling or normalization that would be left out in silence."""
    if options.pooling or options.normalize:
        raise UsageError(
            f"pooling and normalization do not apply: {reason}", hint="leave --pooling and --normalize out"
        )
