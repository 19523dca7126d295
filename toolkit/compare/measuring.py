"""What is measured of every model alike: quality by the gate's own metrics, dependence on the batch, and time."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit import gate
from toolkit.bundle import tokenizer_info
from toolkit.compare.remote import Remote
from toolkit.compare.report import Cosines, Pace, Quality
from toolkit.feeds import unpadded_feed
from toolkit.metrics import Float
from toolkit.progress import Track
from toolkit.runtime.manifest import ModelInfo, SessionInfo
from toolkit.runtime.model import TextModel
from toolkit.runtime.session import Session
from toolkit.runtime.similarity import cosines
from toolkit.runtime.tokenization import TextTokenizer
from toolkit.samples import Samples
from toolkit.sources.source import Source
from toolkit.speed import SHAPES

BATCH, BATCHES = 16, 8
ROUNDS = 15
ROUND_SECONDS = 0.05
PLAIN = SessionInfo()


@dataclass(frozen=True)
class Subject:
    """A running model, and the float graph that it was made from."""

    remote: Remote
    source: Source
    info: ModelInfo


def outputs(subject: Subject, samples: Samples, track: Track) -> Float:
    """Return what a model gives for a set's texts, in batches of the runtime's making."""
    source = subject.source
    model = TextModel(subject.remote, source.tokenizer_json, subject.info, tokenizer_info(source), PLAIN, 1)
    return gate.run(model, gate.reading_of(source, samples), "evaluate", track)


def quality(subject: Subject, samples: Samples, both: tuple[Float, Float]) -> Quality:
    """Return the task's metrics, the cosines to the reference, and how much a text depends on its batch."""
    apart = batch_difference(subject, samples)
    if not np.isfinite(both[1]).all():
        return Quality({}, None, apart)
    measured = gate.TASKS[subject.source.task].measure(subject.source, samples, both)
    metrics = {one.metric: one.int8 for one in measured if one.int8 is not None and "cosine" not in one.metric}
    return Quality(metrics, _cosines(both), apart)


def batch_difference(subject: Subject, samples: Samples) -> float:
    """Return the largest difference of a text's output alone and in a padded batch of BATCH; NaN as infinity."""
    source, inputs = subject.source, subject.info.inputs
    session = Session(subject.remote, subject.info, PLAIN, 1)
    tokenizer = TextTokenizer(source.tokenizer_json, tokenizer_info(source))
    rank = 3 if source.task == "token-classification" else 2
    encoded = tokenizer.encode(gate.texts_of(source, samples)[: BATCH * BATCHES])
    largest = 0.0
    for start in range(0, len(encoded), BATCH):
        group = encoded[start : start + BATCH]
        together = session.run(tokenizer.arrays(group, inputs), rank)
        for text, row in zip(group, together, strict=True):
            alone = session.run(tokenizer.arrays([text], inputs), rank)[0]
            apart = np.abs((row[: len(text.ids)] if rank == 3 else row) - alone).max()
            largest = max(largest, float(np.nan_to_num(apart, nan=np.inf)))
    return largest


def paces(subjects: Sequence[Subject], max_length: int, track: Track) -> list[tuple[Pace, ...]]:
    """Return each model's times, all interleaved; the first one is what the ratios are to."""
    shapes = list(dict.fromkeys((batch, min(length, max_length)) for batch, length in SHAPES))
    by_shape = [_paces(subjects, shape) for shape in track(shapes, "time", len(shapes))]
    return [tuple(column) for column in zip(*by_shape, strict=True)]


def _paces(subjects: Sequence[Subject], shape: tuple[int, int]) -> list[Pace]:
    ids = np.random.default_rng(0).integers(
        0, 20, shape
    )  # token ids that every model has; time does not depend on them
    for subject in subjects:
        subject.remote.set_feed(unpadded_feed(ids, subject.info.inputs))
    first = subjects[0]
    repeats = max(1, int(ROUND_SECONDS / max(first.remote.seconds(1, first.info.output), 1e-4)))
    rounds = [[one.remote.seconds(repeats, one.info.output) for one in subjects] for _ in range(ROUNDS)]
    columns = zip(*rounds, strict=True)
    return [
        Pace(*shape, 1000 * statistics.median(column), statistics.median(row[0] / row[index] for row in rounds))
        for index, column in enumerate(columns)
    ]


def _cosines(both: tuple[Float, Float]) -> Cosines | None:
    if both[0].shape[-1] == 1:
        return None
    reference, found = (values.reshape(-1, values.shape[-1]) for values in both)
    there = np.linalg.norm(reference, axis=1) > 0  # of words, a text has fewer than the longest
    alike = cosines(reference[there], found[there])
    return Cosines(float(alike.mean()), float(np.percentile(alike, 1)), float(alike.min()))
