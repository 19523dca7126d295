"""Looks at single rows: by length, the worst by text, and how the cosines are spread."""

from dataclasses import dataclass

import numpy as np

from toolkit.gate.report import Example, Histogram, Slice
from toolkit.gate.task import Judged, Outputs
from toolkit.gate.tasks import TASKS
from toolkit.gate.verdicts import rounded
from toolkit.metrics import Ints
from toolkit.samples import Samples
from toolkit.statistics import Doubles

LENGTHS = {"≤16": 16, "≤64": 64, "≤128": 128, "longer": np.iinfo(np.int64).max}
WORST = 10
BINS = 40


@dataclass(frozen=True)
class Answers:
    """A set and what the two models gave for it; all of it finite."""

    model: Judged
    samples: Samples
    outputs: Outputs

    def taking(self, rows: Ints) -> "Answers":
        """Return the same for some of the rows only."""
        texts = TASKS[self.model.task].places(self.samples)[rows].T.ravel()
        kept = list(dict.fromkeys(texts.tolist()))
        fp32, int8 = self.outputs
        return Answers(self.model, self.samples.taking(rows.tolist()), (fp32[kept], int8[kept]))


def slices(answers: Answers, lengths: Ints) -> tuple[Slice, ...]:
    """Return the task's metrics by the tokens of each row's longest text; ``lengths`` is [texts], special ones too."""
    longest = lengths[TASKS[answers.model.task].places(answers.samples)].max(axis=1)
    found, shortest = [], 0
    for name, limit in LENGTHS.items():
        rows = np.flatnonzero((shortest <= longest) & (longest <= limit))
        shortest = limit + 1 if limit < np.iinfo(np.int64).max else limit
        if len(rows):
            found.append(_slice(name, answers.taking(rows)))
    return tuple(found)


def worst(answers: Answers) -> tuple[Example, ...]:
    """Return the rows where the two differ most: first where the answers themselves differ, then by distance."""
    samples = answers.samples
    told = TASKS[answers.model.task].told(answers.model, samples, answers.outputs)
    distances = told.distances.round(6)
    order = np.lexsort((-distances, ~told.changed))[:WORST]
    pairs = samples.pairs or [None] * len(samples.texts)
    return tuple(
        Example(samples.texts[row], pairs[row], *told.words(row), float(distances[row])) for row in order.tolist()
    )


def histogram(alike: Doubles) -> Histogram:
    """Return how the cosines are spread from the least to 1."""
    least = np.floor(1000 * min(float(alike.min()), 0.999)) / 1000
    counts, edges = np.histogram(np.clip(alike, least, 1), BINS, (least, 1))
    return Histogram(tuple(np.round(edges, 6).tolist()), tuple(counts.tolist()))


def _slice(name: str, answers: Answers) -> Slice:
    measured = TASKS[answers.model.task].measure(answers.model, answers.samples, answers.outputs)
    int8 = {found.metric: rounded(found.int8) for found in measured}
    return Slice(name, len(answers.samples.texts), int8, {found.metric: rounded(found.fp32) for found in measured})
