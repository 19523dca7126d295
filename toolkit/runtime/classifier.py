"""Sequence classification: raw logits, probabilities, and labels sorted by score."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.runtime import maths
from toolkit.runtime.arrays import FloatArray, from_rows
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.model import TextModel
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
        return [
            [Prediction(self.labels[place], row[place]) for place in maths.falling(row)[:top_k]]
            for row in scores.tolist()
        ]


def softmax(logits: FloatArray) -> FloatArray:
    """Return the softmax of each row of ``logits``, float32 ``[n, labels]``, without overflow."""
    return from_rows(map(maths.softmax, logits.tolist()), logits.shape[1])


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return ``1 / (1 + exp(-logits))``, float32 ``[n, labels]``, without overflow."""
    return from_rows((map(maths.sigmoid, row) for row in logits.tolist()), logits.shape[1])
