"""What runs on the small host: numpy, onnxruntime and tokenizers, and nothing else of ``toolkit``.

The names load on first use, so that ``toolkit.runtime.errors`` and ``--help`` cost no import of onnxruntime.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.runtime.bundle import load
    from toolkit.runtime.classifier import Analysis, Classifier, Prediction
    from toolkit.runtime.embedder import Embedder
    from toolkit.runtime.emotion import EmotionEngine
    from toolkit.runtime.errors import BundleError, EdgequantError, TextError, UsageError
    from toolkit.runtime.fallback import FallbackEmbedder, Skipped
    from toolkit.runtime.generation import Completion, Generation
    from toolkit.runtime.generator import Generator, Message
    from toolkit.runtime.manifest import Manifest
    from toolkit.runtime.model import TextModel
    from toolkit.runtime.reranker import Ranked, Reranker
    from toolkit.runtime.sampling import Sampling
    from toolkit.runtime.token_classifier import Entity, TokenClassifier
    from toolkit.runtime.verification import VerifyReport, verify
    from toolkit.runtime.windows import Windows

__all__ = [
    "Analysis",
    "BundleError",
    "Classifier",
    "Completion",
    "EdgequantError",
    "Embedder",
    "EmotionEngine",
    "Entity",
    "FallbackEmbedder",
    "Generation",
    "Generator",
    "Manifest",
    "Message",
    "Prediction",
    "Ranked",
    "Reranker",
    "Sampling",
    "Skipped",
    "TextError",
    "TextModel",
    "TokenClassifier",
    "UsageError",
    "VerifyReport",
    "Windows",
    "load",
    "verify",
]

_MODULES = {
    "bundle": ("load",),
    "classifier": ("Analysis", "Classifier", "Prediction"),
    "embedder": ("Embedder",),
    "emotion": ("EmotionEngine",),
    "errors": ("BundleError", "EdgequantError", "TextError", "UsageError"),
    "fallback": ("FallbackEmbedder", "Skipped"),
    "generation": ("Completion", "Generation"),
    "generator": ("Generator", "Message"),
    "manifest": ("Manifest",),
    "model": ("TextModel",),
    "reranker": ("Ranked", "Reranker"),
    "sampling": ("Sampling",),
    "token_classifier": ("Entity", "TokenClassifier"),
    "verification": ("VerifyReport", "verify"),
    "windows": ("Windows",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
