"""Sentence classification: which labels the two models give, and how many of them are right."""

from functools import partial

import numpy as np

from toolkit import metrics, statistics
from toolkit.errors import DataError
from toolkit.gate.task import Judged, Measured, Outputs, Told
from toolkit.metrics import Float, Ints
from toolkit.runtime.tokenization import Text
from toolkit.samples import Samples
from toolkit.statistics import Doubles

PERMUTED = 0.8
"""Share of rows that agree once the labels are renamed."""


def texts(samples: Samples) -> list[Text]:
    """Return each row's text, or its pair, which the model reads together."""
    if samples.pairs is None:
        return list(samples.texts)
    return list(zip(samples.texts, samples.pairs, strict=True))


def places(samples: Samples) -> Ints:
    """Return the rows' numbers [rows, 1]: each is run once."""
    return np.arange(len(samples.texts), dtype=np.int64)[:, None]


def measure(model: Judged, samples: Samples, outputs: Outputs) -> list[Measured]:
    """Return accuracy and macro F1 where the set has the model's labels, and the share of labels that flip."""
    fp32, int8 = outputs
    if model.multi_label:
        flips = _flips(((fp32 > 0) != (int8 > 0)).mean(axis=1))
        return [*_unknown("a multi-label model is judged by its flips"), flips]
    predicted = fp32.argmax(axis=1).astype(np.int64), int8.argmax(axis=1).astype(np.int64)
    flips = _flips((predicted[0] != predicted[1]).astype(np.float64), _confusion(model, *predicted))
    gold = gold_labels(model, samples)
    if gold is None:
        return [*_unknown(f"the set has no labels of this model: {', '.join(model.labels)}"), flips]
    return [_accuracy(predicted, gold), _macro_f1(predicted, gold), flips]


def told(model: Judged, samples: Samples, outputs: Outputs) -> Told:  # noqa: ARG001 - a TaskGate's
    """Compare the probabilities: half the sum of their differences; the largest difference where labels are several."""
    fp32, int8 = (_probabilities(y, several=model.multi_label) for y in outputs)
    apart = np.abs(fp32 - int8)
    distances = apart.max(axis=1) if model.multi_label else apart.sum(axis=1) / 2
    answers = [y > 0.5 if model.multi_label else y.argmax(axis=1)[:, None] for y in (fp32, int8)]
    changed = np.asarray((answers[0] != answers[1]).any(axis=1))
    return Told(distances, changed, lambda row: (_words(model, fp32[row]), _words(model, int8[row])))


def alike(outputs: Outputs) -> None:
    """Return None: the angle between logits tells nobody anything."""


def gold_labels(model: Judged, samples: Samples) -> Ints | None:
    """Return the rows' labels as indices into the model's, or None where the set's are not the model's.

    They are the model's names, whatever their case, or else numbers from 0: never some the one and some the other,
    for a model may call its labels "1" to "5".
    """
    if samples.labels is None:
        return None
    given = [str(label).casefold() for label in samples.labels]
    index = {label.casefold(): number for number, label in enumerate(model.labels)}
    if index.keys() >= set(given):
        return np.array([index[text] for text in given], np.int64)
    if all(text.isdecimal() and int(text) < len(model.labels) for text in given):
        return np.array([int(text) for text in given], np.int64)
    return None


def require_labels(model: Judged, samples: Samples) -> None:
    """Raise DataError where a set that the user chose has labels that the model does not."""
    if model.task == "classification" and samples.labels is not None and gold_labels(model, samples) is None:
        theirs = sorted({str(label) for label in samples.labels})
        raise DataError(
            "the evaluation set's labels are not the model's",
            where=samples.name,
            got=", ".join(theirs[:8]),
            expected=", ".join(model.labels),
            hint="rename the labels, or number them from 0 in the model's order",
        )


def _accuracy(predicted: tuple[Ints, Ints], gold: Ints) -> Measured:
    before, after = (labels == gold for labels in predicted)
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    return Measured(
        "accuracy",
        metrics.accuracy(predicted[0], gold),
        metrics.accuracy(predicted[1], gold),
        value=partial(statistics.share, int(after.sum()), len(gold)),
        change=partial(statistics.paired_share, gained, lost, len(gold)),
    )


def _macro_f1(predicted: tuple[Ints, Ints], gold: Ints) -> Measured:
    before, after = (statistics.macro_f1(labels, gold) for labels in predicted)
    return Measured(
        "macro_f1",
        metrics.macro_f1(predicted[0], gold),
        metrics.macro_f1(predicted[1], gold),
        value=partial(statistics.bootstrap, after, len(gold)),
        change=partial(statistics.bootstrap, statistics.difference(after, before), len(gold)),
    )


def _flips(of_rows: Doubles, note: str = "") -> Measured:
    value = partial(statistics.share, float(of_rows.sum()), len(of_rows))
    return Measured("label_flips", None, float(of_rows.mean()), note, value=value)


def _confusion(model: Judged, fp32: Ints, int8: Ints) -> str:
    """Return in words how int8's labels are those of fp32 under other names, or always the same one."""
    given = np.unique(fp32)
    instead = {int(label): int(np.bincount(int8[fp32 == label]).argmax()) for label in given}
    if len(given) > 1 and len(np.unique(int8)) == 1:
        return f"int8 calls every text {model.labels[int8[0]]}"
    moved = {label: other for label, other in instead.items() if label != other}
    agree = np.array([instead[int(label)] for label in fp32]) == int8
    if len(moved) < 2 or len(set(instead.values())) < len(given) or agree.mean() < PERMUTED:
        return ""
    swaps = ", ".join(f"{model.labels[other]} for {model.labels[label]}" for label, other in moved.items())
    return f"the labels are permuted: int8 says {swaps}"


def _unknown(why: str) -> list[Measured]:
    return [Measured(metric, None, None, why) for metric in ("accuracy", "macro_f1")]


def _probabilities(logits: Float, *, several: bool) -> Doubles:
    exact = logits.astype(np.float64)
    if several:
        return np.asarray(np.exp(-np.logaddexp(0, -exact)), np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def _words(model: Judged, probabilities: Doubles) -> str:
    """Return the label with its probability, or those that a multi-label model says yes to."""
    best = [int(probabilities.argmax())]
    chosen = [int(label) for label in np.flatnonzero(probabilities > 0.5)] if model.multi_label else best
    return ", ".join(f"{model.labels[label]} {probabilities[label]:.3f}" for label in chosen) or "none"
