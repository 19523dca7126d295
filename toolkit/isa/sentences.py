"""Real sentences on a place, compared with what this machine makes of them: as they come, and layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import EdgequantError, UsageError
from toolkit.isa.native import python_here
from toolkit.isa.packing import unpack
from toolkit.isa.pinned import OWN, pin
from toolkit.isa.pinned_run import Job
from toolkit.isa.place import Place, run
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.tokenization import Text, TextTokenizer
from toolkit.runtime.verification import Check

CLOSE = 0.9999
"""Cosine that each sentence must reach where every layer is given the reference's int8 inputs."""
MOVED = 1e-4
"""Largest share of int8 activations that may differ where each layer is given the same; measured: 2e-6."""
FIRST = 8  # sentences whose time tells how many more a budget allows
MOST = 256  # sentences whose int8 activations are held in memory at a time
_TIMEOUT = 3600.0
_RUN = "import sys; from toolkit.isa.pinned_run import answer; sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))"
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """Sentences to choose from, in order: as many as ``count``, or as many as ``budget`` seconds a place allow."""

    texts: tuple[Text, ...]
    count: int | None = None
    budget: float | None = None

    def candidates(self) -> tuple[Text, ...]:
        """Return the sentences that may be run."""
        return self.texts[: self.count or MOST]


@dataclass(frozen=True)
class Sentence:
    """One sentence: cosine to the reference as it comes, the same with every layer given the reference's inputs.

    ``moved`` of its int8 activations differ from the reference's, though the layer's inputs are the same.
    """

    text: Text
    cosine: float
    held_cosine: float
    moved: int


@dataclass(frozen=True)
class Agreement:
    """What the sentences of a sample showed in one place; differences are the largest of any number."""

    sentences: tuple[Sentence, ...]
    difference: float
    held_difference: float
    activations: int
    moved: int
    farthest_step: int

    def checks(self, least: float) -> tuple[Check, Check]:
        """Judge the layers by CLOSE and MOVED, and the sentences as they come by ``least``."""
        held = min(each.held_cosine for each in self.sentences)
        free = min(each.cosine for each in self.sentences)
        close = sum(each.cosine >= CLOSE for each in self.sentences)
        layers = (
            f"{len(self.sentences)} sentences, each layer given this machine's int8 inputs: worst cosine {held:.7f} "
            f"(limit {CLOSE}), largest difference {self.held_difference:.1e}; {self.moved} of {self.activations} "
            f"activations rounded otherwise, by {self.farthest_step} step at most"
        )
        ok = held >= CLOSE and self.farthest_step <= 1 and self.moved <= MOVED * self.activations
        alone = (
            f"worst cosine {free:.6f} (limit {least:g}), {close} of {len(self.sentences)} at {CLOSE} or more, "
            f"largest difference {self.difference:.2g}"
        )
        return Check("layers", ok, layers), Check("sentences", free >= least, alone)


@dataclass(frozen=True)
class Reference:
    """What this machine makes of sentences: inputs, outputs and int8 activations by name, and the models' paths."""

    job: Job
    held: Path
    texts: tuple[Text, ...]
    arrays: dict[str, Array]

    def output(self, sentence: int) -> Array:
        """Return the model's output for a sentence as one vector."""
        return self.arrays[f"{sentence}|output"].reshape(-1)


def make_reference(bundle: Bundle, texts: Sequence[Text], folder: Path) -> Reference:
    """Run sentences on this machine's own kernels; ``folder`` takes the models while places are compared with it."""
    manifest = bundle.manifest
    if not texts:
        raise UsageError("there are no sentences to compare", hint="give a FILE of texts, one a line")
    pinned = pin((bundle.folder / manifest.model.file).read_bytes(), str(bundle.folder / manifest.model.file))
    paths = folder / "free.onnx", folder / "held.onnx"
    for path, data in zip(paths, (pinned.free, pinned.held), strict=True):
        path.write_bytes(data)
    tokenizer = TextTokenizer((bundle.folder / manifest.tokenizer.file).read_text(encoding="utf-8"), manifest.tokenizer)
    info = manifest.model
    feeds = {
        f"{number}|{name}": np.asarray(value)
        for number, encoded in enumerate(tokenizer.encode(list(texts)))
        for name, value in tokenizer.arrays([encoded], info.inputs).items()
    }
    job = Job(str(paths[0]), "", info.inputs, pinned.names, info.output, OWN, len(texts), manifest.session)
    here = Place("this machine", "native", *python_here())
    return Reference(job, paths[1], tuple(texts), {**feeds, **_answer(here, job, feeds)})


def agreement(place: Place, reference: Reference, sample: Sample) -> tuple[Agreement, tuple[Array, ...]]:
    """Run the sample's sentences in a place and compare; return each sentence's output too, as one vector."""
    total = len(reference.texts)
    first = min(sample.count or FIRST, total)
    found = [_ask(place, reference, range(first))]
    if sample.count is None and sample.budget is not None:
        seconds = float(found[0]["seconds"])
        more = int((sample.budget - seconds) / (seconds / first)) - first
        if more > 0 and first < total:
            found.append(_ask(place, reference, range(first, min(total, first + more))))
    return _compare(reference, found)


def _ask(place: Place, reference: Reference, numbers: range) -> dict[str, Array]:
    wanted = (*reference.job.inputs, *reference.job.names)
    arrays = {
        f"{row}|{name}": reference.arrays[f"{number}|{name}"] for row, number in enumerate(numbers) for name in wanted
    }
    given = reference.job
    job = Job(
        given.free, str(reference.held), given.inputs, given.names, given.output, OWN, len(numbers), given.session
    )
    return _answer(place, job, arrays)


def _answer(place: Place, job: Job, arrays: dict[str, Array]) -> dict[str, Array]:
    done = run(place, ("-P", "-c", _RUN), job.pack(arrays), timeout=_TIMEOUT)
    try:
        return unpack(done.stdout)
    except (ValueError, OSError, EOFError):
        raise EdgequantError(f"{place} gave no answer", got=done.stderr[-500:] or "no arrays") from None


def _compare(reference: Reference, found: Sequence[dict[str, Array]]) -> tuple[Agreement, tuple[Array, ...]]:
    rows = [(part, row) for part in found for row in range(sum(name.endswith("|output") for name in part))]
    free = [part[f"{row}|output"].reshape(-1) for part, row in rows]
    held = [part[f"{row}|held"].reshape(-1) for part, row in rows]
    moved = np.array([part[f"{row}|moved"] for part, row in rows])
    expected = [reference.output(number) for number in range(len(rows))]
    sentences = tuple(
        Sentence(reference.texts[number], cosine(free[number], expected[number]),
                 cosine(held[number], expected[number]), int(moved[number, 0]))
        for number in range(len(rows))
    )  # fmt: skip
    sizes = [
        sum(reference.arrays[f"{number}|{name}"].size for name in reference.job.names) for number in range(len(rows))
    ]
    made = Agreement(
        sentences, _farthest(free, expected), _farthest(held, expected), sum(sizes), int(moved[:, 0].sum()),
        int(moved[:, 1].max()),
    )  # fmt: skip
    return made, tuple(free)


def cosine(a: Array, b: Array) -> float:
    """Return the cosine of two vectors of equal length: -1 if one is not finite, 0 if one is zero."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return -1.0
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return min(1.0, float(x @ y) / norm) if norm else float(np.array_equal(x, y))


def _farthest(rows: Sequence[Array], expected: Sequence[Array]) -> float:
    return max(float(np.abs(row.astype(np.float64) - other).max()) for row, other in zip(rows, expected, strict=True))
