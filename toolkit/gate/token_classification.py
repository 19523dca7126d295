"""Token classification: which tags the two models give to words, and how many of the named entities they find.

A word is what stands between white space, and has the tag of its first token, as in training. The outputs are
[texts, words of the longest text, labels]; words past a text's end, or cut off by max_length, have zeros.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from toolkit import statistics
from toolkit.errors import DataError
from toolkit.gate.classification import places
from toolkit.gate.task import Judged, Measured, Outputs, Told
from toolkit.metrics import Float, Ints
from toolkit.runtime.tags import entities_of
from toolkit.runtime.tokenization import Encoded, Text
from toolkit.samples import Samples
from toolkit.statistics import Doubles

__all__ = ["alike", "by_word", "measure", "places", "require_tags", "texts", "told"]

Tags = Sequence[Sequence[str]]


def texts(samples: Samples) -> list[Text]:
    """Return the text of each row."""
    return list(samples.texts)


def measure(model: Judged, samples: Samples, outputs: Outputs) -> list[Measured]:
    """Return entity F1 where the set has tags, and the share of words whose tag flips."""
    fp32, int8 = (_tags(model, samples, y) for y in outputs)
    flips = _label_flips(fp32, int8)
    gold = _gold(model, samples)
    if gold is None:
        return [Measured("entity_f1", None, None, f"the set has no tags of this model: {_named(model)}"), flips]
    return [_entity_f1(fp32, int8, gold), flips]


def told(model: Judged, samples: Samples, outputs: Outputs) -> Told:
    """Compare the tags of each text: how many words have another."""
    fp32, int8 = (_tags(model, samples, y) for y in outputs)
    apart = np.array([sum(a != b for a, b in zip(*row, strict=True)) for row in zip(fp32, int8, strict=True)], float)
    return Told(apart, apart > 0, lambda row: (_entities(fp32[row]), _entities(int8[row])))


def alike(outputs: Outputs) -> None:
    """Return None: the angle between logits tells nobody anything."""


def by_word(rows: Sequence[Text], encoded: Sequence[Encoded], logits: Sequence[Float]) -> Float:
    """Return the logits of each word's first token [texts, words of the longest, labels] from those of tokens."""
    words = [str(text).split() for text in rows]
    labels = logits[0].shape[-1] if logits else 0
    found = np.zeros((len(rows), max([1, *map(len, words)]), labels), np.float32)
    for number, (text, tokens, row) in enumerate(zip(rows, encoded, logits, strict=True)):
        first = _first_tokens(str(text), tokens)
        for place, token in enumerate(first):
            if token is not None:
                found[number, place] = row[token]
    return found


def entity_counts(tags: Tags, gold: Tags) -> Doubles:
    """Return for each text twice its entities that agree in label, start and end, and all of both [texts, 2].

    The micro-averaged F1 is the ratio of the two sums.
    """
    pairs = [(set(entities_of(a)), set(entities_of(b))) for a, b in zip(tags, gold, strict=True)]
    return np.array([[2 * len(a & b), len(a) + len(b)] for a, b in pairs], np.float64)


def require_tags(model: Judged, samples: Samples) -> None:
    """Raise DataError where a set that the user chose has tags that the model does not."""
    if samples.tags is not None and _gold(model, samples) is None:
        theirs = sorted({str(tag) for row in samples.tags for tag in row} - set(model.labels))
        raise DataError(
            "the evaluation set's tags are not the model's",
            where=samples.name,
            got=", ".join(theirs[:8]),
            expected=_named(model),
            hint="rename the tags, or number them from 0 in the model's order",
        )


def _first_tokens(text: str, tokens: Encoded) -> list[int | None]:
    """Return for each word which token is the first that begins in it; None where max_length has cut it off."""
    first: list[int | None] = []
    at, token = 0, 0
    for word in text.split():
        at = text.index(word, at)
        end = at + len(word)
        while token < len(tokens.spans) and (tokens.words[token] is None or _start(text, tokens, token) < at):
            token += 1
        inside = token < len(tokens.spans) and _start(text, tokens, token) < end
        first.append(token if inside else None)
        at = end
    return first


def _start(text: str, tokens: Encoded, token: int) -> int:
    """Return where a token begins, without the space that byte-level tokens hold."""
    start, end = tokens.spans[token]
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip())


def _tags(model: Judged, samples: Samples, logits: Float) -> list[list[str]]:
    best: Ints = logits.argmax(axis=2)
    counts = [len(text.split()) for text in samples.texts]
    return [[model.labels[label] for label in row[:count]] for row, count in zip(best.tolist(), counts, strict=True)]


def _gold(model: Judged, samples: Samples) -> Tags | None:
    """Return the set's tags under the model's names, or None where they are not the model's."""
    if samples.tags is None:
        return None
    names = {tag for row in samples.tags for tag in row}
    if all(isinstance(tag, str) and tag in model.labels for tag in names):
        return [[str(tag) for tag in row] for row in samples.tags]
    if all(isinstance(tag, int) and 0 <= tag < len(model.labels) for tag in names):
        return [[model.labels[int(tag)] for tag in row] for row in samples.tags]
    return None


def _entity_f1(fp32: Tags, int8: Tags, gold: Tags) -> Measured:
    counts = [entity_counts(tags, gold) for tags in (fp32, int8)]
    before, after = (statistics.ratio(*each.T) for each in counts)
    reached = [float(hits / total) if total else 1.0 for hits, total in (each.sum(axis=0) for each in counts)]
    value = partial(statistics.bootstrap, after, len(gold))
    change = partial(statistics.bootstrap, statistics.difference(after, before), len(gold))
    return Measured("entity_f1", reached[0], reached[1], value=value, change=change)


def _label_flips(fp32: Tags, int8: Tags) -> Measured:
    """Return the share of words with another tag; texts are drawn, because the words of one belong together."""
    rows = list(zip(fp32, int8, strict=True))
    flipped = np.array([sum(a != b for a, b in zip(*row, strict=True)) for row in rows], np.float64)
    words = np.array([len(tags) for tags in fp32], np.float64)
    value = partial(statistics.bootstrap, statistics.ratio(flipped, words), len(rows))
    return Measured("label_flips", None, float(flipped.sum() / max(1, words.sum())), value=value)


def _entities(tags: Sequence[str]) -> str:
    return ", ".join(f"{label} {start}-{after - 1}" for label, start, after in entities_of(tags)) or "no entity"


def _named(model: Judged) -> str:
    return ", ".join(model.labels)
