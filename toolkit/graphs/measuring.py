"""Both models on the same feeds: for each output and row what the gate needs of it, and nothing of the arrays kept."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import NumericsError
from toolkit.graphs.feeds import Feeds
from toolkit.progress import Track, silent
from toolkit.runtime.tensors import Array, Feed, TensorModel, finite
from toolkit.statistics import Doubles

Run = Callable[[Feed], Mapping[str, Array]]


@dataclass(frozen=True)
class Row:
    """One output on one sample: energies of fp32 and of the error, the cosine, and what each puts first.

    ``cosine`` is NaN for an output of one number, ``same`` tells whether whole numbers and shapes are equal.
    """

    signal: float
    noise: float
    cosine: float
    tops: tuple[int, int]
    same: bool


@dataclass(frozen=True)
class Rows:
    """All that was measured: by output, one ``Row`` a sample; ``broken`` samples gave NaN or infinity in int8."""

    outputs: Mapping[str, tuple[Row, ...]]
    kinds: Mapping[str, str]  # numpy's letter of each output's type
    sizes: Mapping[str, int]  # numbers of each output on the first sample
    broken: int
    distinct: tuple[int, int]  # how many different answers fp32 and int8 gave

    def column(self, output: str, field: str) -> Doubles:
        """Return one field of all rows of an output."""
        return np.array([getattr(row, field) for row in self.outputs[output]], np.float64)


def measure(
    models: tuple[TensorModel, TensorModel], feeds: Feeds, judged: Collection[str], track: Track = silent
) -> Rows:
    """Run (fp32, int8) and compare the outputs that are judged.

    NumericsError where fp32's output is not finite: nothing can be compared with it.
    """
    fp32, int8 = models
    found: dict[str, list[Row]] = {}
    kinds: dict[str, str] = {}
    sizes: dict[str, int] = {}
    answers: tuple[set[bytes], set[bytes]] = (set(), set())
    broken = 0
    for place, feed in enumerate(track(feeds, "evaluate fp32 and int8", len(feeds))):
        reference, measured = (
            {name: array for name, array in model.raw(feed).items() if name in judged} for model in (fp32, int8)
        )
        for name, array in reference.items():
            if not finite(array):
                raise NumericsError("the float model's output is not finite on evaluation data",
                                    where=f"{feeds.name}, sample {place}: {name}",
                                    hint="the float model itself overflows: use another checkpoint")  # fmt: skip
            kinds[name] = array.dtype.kind
            sizes.setdefault(name, array.size)
            found.setdefault(name, []).append(_row(array, measured[name]))
        broken += not all(map(finite, measured.values()))
        for seen, outputs in zip(answers, (reference, measured), strict=True):
            seen.add(b"".join(_rounded(array) for array in outputs.values()))
    rows = {name: tuple(rows) for name, rows in found.items()}
    return Rows(rows, kinds, sizes, broken, (len(answers[0]), len(answers[1])))


def _row(reference: Array, measured: Array) -> Row:
    if reference.shape != measured.shape or not finite(measured):
        return Row(_energy(reference), max(_energy(reference), 1.0), 0.0, (-1, -2), same=False)
    a, b = reference.astype(np.float64).ravel(), measured.astype(np.float64).ravel()
    same = bool((a == b).all())
    return Row(_energy(a), _energy(a - b), _cosine(a, b), (_top(a), _top(b)), same)


def _cosine(a: Doubles, b: Doubles) -> float:
    if len(a) < 2:
        return float("nan")
    norms = float(np.sqrt(_energy(a) * _energy(b)))
    return float(a @ b) / norms if norms else float(not a.any() and not b.any())


def _energy(values: "np.ndarray[Any, Any]") -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _top(values: Doubles) -> int:
    return int(values.argmax()) if len(values) else -1


def _rounded(array: Array) -> bytes:
    return bytes((array.round(4) if array.dtype.kind == "f" else array).tobytes())
