"""What the gate asks of a task: a module with these functions, which ``tasks.TASKS`` names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from toolkit.metrics import Float, Ints
from toolkit.runtime.manifest import Task
from toolkit.runtime.tokenization import Text
from toolkit.samples import Samples
from toolkit.statistics import Doubles, Estimate

Outputs = tuple[Float, Float]
"""What fp32 and int8 gave, each [texts, dimension] as the task orders its texts; of words [texts, words, dimension]."""

Estimator = Callable[[float], Estimate]
"""From a confidence level to what can be said at it."""


class Judged(Protocol):
    """What is known of the model under judgement; a ``Source`` and a bundle's ``Manifest`` both say it."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def task(self) -> Task:
        """A key of ``tasks.TASKS``."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Of classification, in the order of the logits."""

    @property
    def multi_label(self) -> bool:
        """Whether each label has a yes or no of its own."""


@dataclass(frozen=True)
class Measured:
    """One metric of the two models."""

    metric: str
    fp32: float | None  # None where the metric compares the two
    int8: float | None  # None where it could not be measured, and the note says why
    note: str = ""
    value: Estimator | None = None  # of int8, where rows drawn anew would give another
    change: Estimator | None = None  # of int8 - fp32, where both have the metric
    unit: str = "rows"  # what the estimators draw


@dataclass(frozen=True)
class Told:
    """How far the two models are apart on each row, and what each says to it."""

    distances: Doubles  # [rows]
    changed: np.ndarray[Any, np.dtype[np.bool_]]  # [rows] where the answer itself is another
    words: Callable[[int], tuple[str, str]]  # row -> fp32's, int8's


class TaskGate(Protocol):
    """One task's part of the gate."""

    def texts(self, samples: Samples) -> list[Text]:
        """Return what is run."""

    def places(self, samples: Samples) -> Ints:
        """Return for each row which of ``texts`` are its own: [rows, texts of a row]."""

    def measure(self, model: Judged, samples: Samples, outputs: Outputs) -> list[Measured]:
        """Return the task's metrics; the outputs are finite."""

    def told(self, model: Judged, samples: Samples, outputs: Outputs) -> Told:
        """Return what the worst rows are found by."""

    def alike(self, outputs: Outputs) -> Doubles | None:
        """Return the cosine of each output to fp32's where the outputs are vectors."""
