"""Sequence classification: raw logits, probabilities, and labels sorted by score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.model import TextModel
from toolkit.runtime.session import FloatArray
from toolkit.runtime.tokenization import Text


@dataclass(frozen=True)
class Prediction:
    """A label and its probability, 0 to 1."""

    label: str
    score: float


class Classifier:
    """Classifies texts; ``multi_label`` judges each label by itself (sigmoid), else all at once (softmax)."""

    def __init__(self, model: TextModel, labels: Sequence[str], multi_label: bool = False) -> None:
        if len(labels) != model.info.dimension:
            raise BundleError("labels do not fit the model", got=len(labels), expected=model.info.dimension)
        self.model = model
        self.labels = tuple(labels)
        self.multi_label = multi_label

    def logits(self, texts: Sequence[Text], batch_size: int | None = None) -> FloatArray:
        """Return the model's raw outputs, float32 ``[len(texts), len(labels)]``."""
        return self.model.run(texts, batch_size)

    def probabilities(self, texts: Sequence[Text], batch_size: int | None = None) -> FloatArray:
        """Return every label's score, float32 ``[len(texts), len(labels)]``, columns as ``labels``."""
        logits = self.logits(texts, batch_size)
        return sigmoid(logits) if self.multi_label else softmax(logits)

    def classify(self, texts: Sequence[Text], top_k: int | None = None) -> list[list[Prediction]]:
        """Return each text's labels by falling score, the best ``top_k`` or all."""
        if top_k is not None and top_k < 1:
            raise UsageError("top_k is too small", got=top_k, expected="at least 1")
        scores = self.probabilities(texts)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        return [
            [Prediction(self.labels[i], float(row[i])) for i in best] for row, best in zip(scores, order, strict=True)
        ]


def softmax(logits: FloatArray) -> FloatArray:
    """Return the softmax of each row of ``logits``, without overflow."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return ``1 / (1 + exp(-logits))``, without overflow."""
    return np.asarray((np.tanh(logits / 2) + 1) / 2, dtype=np.float32)
