"""Sequence classification: raw logits, probabilities, and labels sorted by score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from toolkit.runtime import maths
from toolkit.runtime.arrays import FloatArray, from_rows
from toolkit.runtime.background import Background
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.model import TextModel
from toolkit.runtime.tokenization import Text
from toolkit.runtime.windows import Windows

Threshold = float | Mapping[str, float]
"""The score from which a label is kept, 0 to 1: one for all, or one a label; a label without is always kept."""


@dataclass(frozen=True)
class Prediction:
    """A label and its probability, 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True)
class Analysis:
    """What a classifier says of one text."""

    predictions: tuple[Prediction, ...]
    """The labels that threshold and ``top_k`` keep, by falling score."""
    probabilities: Mapping[str, float]
    """Every label's score, in the model's order."""

    @property
    def label(self) -> str | None:
        """The best label that is kept, or None."""
        return self.predictions[0].label if self.predictions else None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that are kept, by falling score."""
        return tuple(found.label for found in self.predictions)

    @property
    def score(self) -> float | None:
        """The score of ``label``, or None."""
        return self.predictions[0].score if self.predictions else None


class Classifier:
    """Classifies texts; ``multi_label`` judges each label by itself (sigmoid), else all at once (softmax)."""

    def __init__(self, model: TextModel, labels: Sequence[str], multi_label: bool = False) -> None:
        if len(labels) != model.info.dimension:
            raise BundleError("labels do not fit the model", got=len(labels), expected=model.info.dimension)
        self.model = model
        self.labels = tuple(labels)
        self.multi_label = multi_label
        self._background = Background()

    def logits(self, texts: Sequence[Text], batch_size: int | None = None) -> FloatArray:
        """Return the model's raw outputs, float32 ``[len(texts), len(labels)]``; long texts are cut."""
        return self.model.run(texts, batch_size)

    def probabilities(
        self, texts: Sequence[Text], batch_size: int | None = None, windows: Windows | None = None
    ) -> FloatArray:
        """Return every label's score, float32 ``[len(texts), len(labels)]``, columns as ``labels``.

        A long text is cut, or with ``windows`` has the weighted mean of its windows' scores or the largest of each;
        the largest need not sum to 1.
        """
        if windows is None:
            logits = self.logits(texts, batch_size)
            return sigmoid(logits) if self.multi_label else softmax(logits)
        found = self.model.run_windows(texts, windows, batch_size)
        rows = (self._one(weights, [row.tolist() for row in rows], windows) for weights, rows in found)
        return from_rows(rows, len(self.labels))

    def classify(
        self,
        texts: Sequence[Text],
        top_k: int | None = None,
        threshold: Threshold | None = None,
        windows: Windows | None = None,
    ) -> list[list[Prediction]]:
        """Return each text's labels by falling score: those that reach ``threshold``, the best ``top_k`` of them.

        UsageError for a ``top_k`` below 1, a threshold outside 0 to 1, or one for a label that the model has not.
        """
        least = self._least(top_k, threshold)
        return [_kept(self.labels, row, least, top_k) for row in self.probabilities(texts, windows=windows).tolist()]

    @overload
    def analyze(  # type: ignore[overload-overlap]  # a string is a sequence too: the first fits first
        self,
        texts: str,
        *,
        top_k: int | None = None,
        threshold: Threshold | None = None,
        windows: Windows | None = None,
    ) -> Analysis: ...

    @overload
    def analyze(
        self,
        texts: Sequence[Text],
        *,
        top_k: int | None = None,
        threshold: Threshold | None = None,
        windows: Windows | None = None,
    ) -> list[Analysis]: ...

    def analyze(
        self,
        texts: Sequence[Text] | str,
        *,
        top_k: int | None = None,
        threshold: Threshold | None = None,
        windows: Windows | None = None,
    ) -> Analysis | list[Analysis]:
        """Return the Analysis of one string, or of each text of a list; arguments and errors as ``classify``."""
        least = self._least(top_k, threshold)
        rows = self.probabilities([texts] if isinstance(texts, str) else texts, windows=windows).tolist()
        found = [
            Analysis(tuple(_kept(self.labels, row, least, top_k)), dict(zip(self.labels, row, strict=True)))
            for row in rows
        ]
        return found[0] if isinstance(texts, str) else found

    @overload
    async def analyze_async(  # type: ignore[overload-overlap]  # a string is a sequence too: the first fits first
        self,
        texts: str,
        *,
        top_k: int | None = None,
        threshold: Threshold | None = None,
        windows: Windows | None = None,
    ) -> Analysis: ...

    @overload
    async def analyze_async(
        self,
        texts: Sequence[Text],
        *,
        top_k: int | None = None,
        threshold: Threshold | None = None,
        windows: Windows | None = None,
    ) -> list[Analysis]: ...

    async def analyze_async(
        self,
        texts: Sequence[Text] | str,
        *,
        top_k: int | None = None,
        threshold: Threshold | None = None,
        windows: Windows | None = None,
    ) -> Analysis | list[Analysis]:
        """Return what ``analyze`` returns, computed in this classifier's thread; calls run one after the other."""
        return await self._background.run(
            lambda: self.analyze(texts, top_k=top_k, threshold=threshold, windows=windows)
        )

    def _one(self, weights: Sequence[int], rows: Sequence[Sequence[float]], windows: Windows) -> Sequence[float]:
        scores = [[maths.sigmoid(value) for value in row] if self.multi_label else maths.softmax(row) for row in rows]
        if windows.combine == "mean":
            return maths.weighted_mean(scores, weights)
        return [max(column) for column in zip(*scores, strict=True)]

    def _least(self, top_k: int | None, threshold: Threshold | None) -> list[float]:
        """Return the threshold of each label."""
        if top_k is not None and top_k < 1:
            raise UsageError("top_k is too small", got=top_k, expected="at least 1")
        each = threshold if isinstance(threshold, Mapping) else dict.fromkeys(self.labels, threshold or 0.0)
        for label, value in each.items():
            if label not in self.labels:
                expected = ", ".join(self.labels)
                raise UsageError("a threshold is for a label that the model has not", got=label, expected=expected)
            if not 0 <= value <= 1:
                raise UsageError("the threshold is no probability", where=label, got=value, expected="0 to 1")
        return [each.get(label, 0.0) for label in self.labels]


def _kept(labels: Sequence[str], row: Sequence[float], least: Sequence[float], top_k: int | None) -> list[Prediction]:
    best = (place for place in maths.falling(row) if row[place] >= least[place])
    return [Prediction(labels[place], row[place]) for place in best][:top_k]


def softmax(logits: FloatArray) -> FloatArray:
    """Return the softmax of each row of ``logits``, float32 ``[n, labels]``, without overflow."""
    return from_rows(map(maths.softmax, logits.tolist()), logits.shape[1])


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return ``1 / (1 + exp(-logits))``, float32 ``[n, labels]``, without overflow."""
    return from_rows(_sigmoids(logits.tolist()), logits.shape[1])


def _sigmoids(rows: Iterable[Sequence[float]]) -> Iterable[list[float]]:
    return ([maths.sigmoid(value) for value in row] for row in rows)
