"""What runs on the small host: numpy, onnxruntime and tokenizers, and nothing else of ``toolkit``.

The names load on first use, so that ``toolkit.runtime.errors`` and ``--help`` cost no import of onnxruntime.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# Read when the libraries load: no telemetry from the device, no threads beside the session's own.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if TYPE_CHECKING:
    from toolkit.runtime.bundle import load
    from toolkit.runtime.classifier import Classifier, Prediction
    from toolkit.runtime.embedder import Embedder
    from toolkit.runtime.errors import BundleError, EdgequantError, TextError, UsageError
    from toolkit.runtime.manifest import Manifest
    from toolkit.runtime.model import TextModel
    from toolkit.runtime.reranker import Ranked, Reranker
    from toolkit.runtime.token_classifier import Entity, TokenClassifier
    from toolkit.runtime.verification import VerifyReport, verify

__all__ = [
    "BundleError",
    "Classifier",
    "EdgequantError",
    "Embedder",
    "Entity",
    "Manifest",
    "Prediction",
    "Ranked",
    "Reranker",
    "TextError",
    "TextModel",
    "TokenClassifier",
    "UsageError",
    "VerifyReport",
    "load",
    "verify",
]

_MODULES = {
    "bundle": ("load",),
    "classifier": ("Classifier", "Prediction"),
    "embedder": ("Embedder",),
    "errors": ("BundleError", "EdgequantError", "TextError", "UsageError"),
    "manifest": ("Manifest",),
    "model": ("TextModel",),
    "reranker": ("Ranked", "Reranker"),
    "token_classifier": ("Entity", "TokenClassifier"),
    "verification": ("VerifyReport", "verify"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
