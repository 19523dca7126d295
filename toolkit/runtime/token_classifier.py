"""Token classification: entities with their places in the text."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolkit.runtime.errors import BundleError, TextError
from toolkit.runtime.model import TextModel
from toolkit.runtime.tags import entities_of
from toolkit.runtime.tokenization import Encoded
from toolkit.runtime.windows import Windows


@dataclass(frozen=True)
class Entity:
    """What stands in ``text[start:end]`` (characters), and the mean probability of its words' tags, 0 to 1."""

    label: str
    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True)
class _Word:
    start: int
    end: int
    tag: str
    score: float


class TokenClassifier:
    """Finds entities in texts; a word has the tag of its first token, as token classifiers are trained."""

    def __init__(self, model: TextModel, labels: Sequence[str]) -> None:
        if len(labels) != model.info.dimension:
            raise BundleError("labels do not fit the model", got=len(labels), expected=model.info.dimension)
        self.model = model
        self.labels = tuple(labels)

    def entities(
        self, texts: Sequence[str], batch_size: int | None = None, windows: Windows | None = None
    ) -> list[list[Entity]]:
        """Return each text's entities in their order.

        A text longer than the model's ``max_length`` is cut, and has no entities past the cut, unless ``windows`` says
        how it is read whole: then each word has its tag from one window, and an entity across two is found once.
        """
        for index, text in enumerate(texts):
            if isinstance(text, tuple):
                raise TextError(f"text {index} is a pair", expected="a string: entities have their place in one text")
        encoded, logits = self.model.run_tokens(texts, batch_size, windows)
        rows = zip(texts, encoded, logits, strict=True)
        return [list(_entities(text, self._words(text, found, row.tolist()))) for text, found, row in rows]

    def _words(self, text: str, encoded: Encoded, logits: Sequence[Sequence[float]]) -> list[_Word]:
        words: list[_Word] = []
        for number, tokens in _by_word(encoded):
            first, last = tokens[0], tokens[-1]
            start, end = encoded.spans[first][0], encoded.spans[last][1]
            start += len(text[start:end]) - len(text[start:end].lstrip())  # byte-level tokens may begin with the space
            best, score = _best(logits[first])
            if end > start and number is not None:
                words.append(_Word(start, end, self.labels[best], score))
        return words


def _by_word(encoded: Encoded) -> Iterator[tuple[int | None, list[int]]]:
    """Yield the number of each word and its tokens' places; special tokens have no word."""
    group: list[int] = []
    for place, word in enumerate(encoded.words):
        if group and word != encoded.words[group[0]]:
            yield encoded.words[group[0]], group
            group = []
        group.append(place)
    if group:
        yield encoded.words[group[0]], group


def _best(logits: Sequence[float]) -> tuple[int, float]:
    """Return the place of the largest logit, the first of equal ones, and its share in the softmax."""
    largest = max(logits)
    return logits.index(largest), 1 / sum(math.exp(logit - largest) for logit in logits)


def _entities(text: str, words: Sequence[_Word]) -> Iterator[Entity]:
    for label, first, after in entities_of([word.tag for word in words]):
        part = words[first:after]
        start, end = part[0].start, part[-1].end
        yield Entity(label, start, end, text[start:end], sum(word.score for word in part) / len(part))
