"""A bundle loaded for the command that was named; another command's is refused by that one's name."""

from argparse import Namespace
from typing import TypeVar

from toolkit.runtime.errors import UsageError
from toolkit.runtime.options import named_engine

T = TypeVar("T")

_COMMANDS = {
    "Embedder": "embed",
    "Classifier": "classify",
    "Reranker": "rerank",
    "TokenClassifier": "entities",
    "Generator": "generate",
    "TensorModel": "run",
}
"""Which command serves what ``load`` returns."""


def load_for(args: Namespace, kind: type[T]) -> T:
    """Load ``args.bundle``; UsageError names the command that it is for, where that is another."""
    from toolkit.runtime.bundle import load  # noqa: PLC0415 - imports onnxruntime

    loaded = load(args.bundle, args.threads, *named_engine())
    if isinstance(loaded, kind):
        return loaded
    what = f"this bundle is not for the command {_COMMANDS[kind.__name__]}"
    raise UsageError(what, where=args.bundle, hint=f"use the command {_COMMANDS[type(loaded).__name__]}")
