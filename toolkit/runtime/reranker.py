"""Reranking: how well texts answer a query, by a cross-encoder that reads query and text together."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.runtime.errors import BundleError, TextError, UsageError
from toolkit.runtime.maths import falling, sigmoid
from toolkit.runtime.model import TextModel
from toolkit.runtime.tokenization import Text


@dataclass(frozen=True)
class Ranked:
    """A text's place in the list that was given, and its score, 0 to 1."""

    index: int
    score: float


class Reranker:
    """Scores texts for a query; a score does not depend on which other texts are scored with it."""

    def __init__(self, model: TextModel) -> None:
        if model.info.dimension != 1:
            raise BundleError("a reranker gives one number", got=model.info.dimension, expected=1)
        self.model = model

    def score(self, query: str, texts: Sequence[str], batch_size: int | None = None) -> list[float]:
        """Return the score of each text, 0 to 1."""
        if not isinstance(query, str):
            raise TextError("the query is not a string", got=type(query).__name__)
        if isinstance(texts, str | bytes):
            raise TextError("texts are not a list of strings", got=type(texts).__name__, hint="wrap one text: [text]")
        return self.score_pairs([(query, text) for text in texts], batch_size)

    def score_pairs(self, pairs: Sequence[Text], batch_size: int | None = None) -> list[float]:
        """Return the score of each pair of a query and a text, 0 to 1: the sigmoid of the model's one logit."""
        return [sigmoid(float(row[0])) for row in self.model.run(pairs, batch_size)]

    def rank(self, query: str, texts: Sequence[str], top_k: int | None = None) -> list[Ranked]:
        """Return the texts by falling score, the best ``top_k`` or all; equal scores keep the order given."""
        if top_k is not None and top_k < 1:
            raise UsageError("top_k is too small", got=top_k, expected="at least 1")
        scores = self.score(query, texts)
        return [Ranked(index, scores[index]) for index in falling(scores)[:top_k]]
