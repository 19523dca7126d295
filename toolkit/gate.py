"""The accuracy gate: fp32 against int8 on data that calibration has not seen, judged by the recipe's limits.

Both models are run by the code that ships in the runtime. Non-finite output fails before anything else is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from toolkit import metrics
from toolkit.errors import DataError, NumericsError
from toolkit.metrics import Float, Ints
from toolkit.numerics.sqnr import sqnr_db
from toolkit.progress import Track, silent
from toolkit.runtime.model import TextModel
from toolkit.runtime.similarity import cosines
from toolkit.runtime.tokenization import Text
from toolkit.samples import Samples
from toolkit.sources.source import Source
from toolkit.targets import Bounds, Limit

Outcome = Literal["pass", "fail", "not measured", "no limit"]
CHUNK = 256
DIGITS = 6


@dataclass(frozen=True)
class Verdict:
    """One metric: what fp32 and int8 reach, and what the limit says to it."""

    metric: str
    fp32: float | None  # None where the metric compares the two
    int8: float | None  # None where it could not be measured
    limit: Mapping[str, float]  # by the names of targets.Limit
    outcome: Outcome
    note: str = ""


@dataclass(frozen=True)
class GateReport:
    """All verdicts, and on what they were reached."""

    task: str
    dataset: str
    dataset_digest: str
    rows: int
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(verdict.outcome != "fail" for verdict in self.verdicts)

    def as_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {"passed": self.passed, **asdict(self)}


@dataclass(frozen=True)
class Sizes:
    """Bytes of the two model files."""

    fp32: int
    int8: int


Measured = Mapping[str, tuple[float | None, float | None, str]]  # metric -> fp32, int8, note


def judge(
    source: Source,
    samples: Samples,
    outputs: tuple[Float, Float],
    sizes: Sizes,
    limits: Mapping[str, Bounds],
) -> GateReport:
    """Judge the outputs (fp32, int8), each [texts, dimension] as ``texts_of`` orders them.

    Raises NumericsError where fp32's are not finite: nothing can be compared with them.
    """
    fp32, int8 = outputs
    unusable, broken = (int((~np.isfinite(y)).any(axis=1).sum()) for y in (fp32, int8))
    if unusable:
        raise NumericsError(
            "the float model's output is not finite on evaluation data",
            where=f"{source.name} on {samples.name}",
            got=f"NaN or infinity for {unusable} of {len(fp32)} texts",
            hint="the float model itself overflows: use another checkpoint",
        )
    nan = Verdict("non_finite_rows", None, float(broken), {"max": 0}, "fail" if broken else "pass")
    verdicts = [nan]
    if not broken:
        measure = _embedding if source.task == "embedding" else _classification
        measured = {
            **measure(source, samples, fp32, int8),
            "sqnr_db": (None, sqnr_db(fp32, int8), ""),
            "size_ratio": (None, sizes.int8 / sizes.fp32, f"{sizes.int8} of {sizes.fp32} bytes"),
        }
        verdicts += _verdicts(measured, limits)
    return GateReport(source.task, samples.name, samples.digest, len(samples.texts), tuple(verdicts))


def texts_of(source: Source, samples: Samples) -> list[Text]:
    """Return what is run: each different text once for embeddings, each row (or pair) for classification."""
    if source.task == "embedding":
        return list(dict.fromkeys([*samples.texts, *(samples.pairs or ())]))
    if samples.pairs is None:
        return list(samples.texts)
    return list(zip(samples.texts, samples.pairs, strict=True))


def run(model: TextModel, texts: Sequence[Text], what: str, track: Track = silent) -> Float:
    """Return the model's raw outputs [texts, dimension], finite or not."""
    starts = range(0, len(texts), CHUNK)
    parts = [model.raw(texts[start : start + CHUNK]) for start in track(starts, what, len(starts))]
    return np.concatenate(parts)


def _embedding(source: Source, samples: Samples, fp32: Float, int8: Float) -> Measured:
    alike = cosines(fp32, int8)
    measured = {
        "cosine_mean": (None, float(alike.mean()), ""),
        "cosine_p1": (None, float(np.percentile(alike, 1)), ""),
        "cosine_min": (None, float(alike.min()), ""),
    }
    if samples.pairs is None or samples.scores is None:
        return {"spearman": (None, None, "the set has no scored pairs"), **measured}
    row = {text: index for index, text in enumerate(texts_of(source, samples))}
    first, second = [row[text] for text in samples.texts], [row[text] for text in samples.pairs]
    gold = np.array(samples.scores, np.float64)
    reached = [metrics.spearman(cosines(y[first], y[second]), gold) for y in (fp32, int8)]
    if not np.isfinite(reached[0]):
        return {"spearman": (None, None, "the scores or the similarities of fp32 are all equal"), **measured}
    if not np.isfinite(reached[1]):
        return {"spearman": (reached[0], 0.0, "the similarities of int8 are all equal"), **measured}
    return {"spearman": (reached[0], reached[1], ""), **measured}


def _classification(source: Source, samples: Samples, fp32: Float, int8: Float) -> Measured:
    if source.multi_label:
        flips = float(((fp32 > 0) != (int8 > 0)).mean())
        missing = (None, None, "a multi-label model is judged by its flips")
        return {"accuracy": missing, "macro_f1": missing, "label_flips": (None, flips, "")}
    predicted = [y.argmax(axis=1).astype(np.int64) for y in (fp32, int8)]
    flips = float((predicted[0] != predicted[1]).mean())
    gold = gold_labels(source, samples)
    if gold is None:
        missing = (None, None, f"the set has no labels of this model: {', '.join(source.labels)}")
        return {"accuracy": missing, "macro_f1": missing, "label_flips": (None, flips, "")}
    right = [metrics.accuracy(labels, gold) for labels in predicted]
    f1 = [metrics.macro_f1(labels, gold) for labels in predicted]
    return {
        "accuracy": (right[0], right[1], ""),
        "macro_f1": (f1[0], f1[1], ""),
        "label_flips": (None, flips, ""),
    }


def gold_labels(source: Source, samples: Samples) -> Ints | None:
    """Return the rows' labels as indices into the model's, or None where the set's are not the model's.

    They are the model's names, whatever their case, or else numbers from 0: never some the one and some the other,
    for a model may call its labels "1" to "5".
    """
    if samples.labels is None:
        return None
    texts = [str(label).casefold() for label in samples.labels]
    index = {label.casefold(): number for number, label in enumerate(source.labels)}
    if index.keys() >= set(texts):
        return np.array([index[text] for text in texts], np.int64)
    if all(text.isdecimal() and int(text) < len(source.labels) for text in texts):
        return np.array([int(text) for text in texts], np.int64)
    return None


def require_labels(source: Source, samples: Samples) -> None:
    """Raise DataError where a set that the user chose has labels that the model does not."""
    if source.task == "classification" and samples.labels is not None and gold_labels(source, samples) is None:
        theirs = sorted({str(label) for label in samples.labels})
        raise DataError(
            "the evaluation set's labels are not the model's",
            where=samples.name,
            got=", ".join(theirs[:8]),
            expected=", ".join(source.labels),
            hint="rename the labels, or number them from 0 in the model's order",
        )


def _verdicts(measured: Measured, limits: Mapping[str, Bounds]) -> Iterator[Verdict]:
    for metric, (fp32, int8, note) in measured.items():
        limit = limits.get(metric)
        broken = "" if limit is None or int8 is None else _broken(limit, fp32, int8)
        outcome: Outcome = "pass"
        if int8 is None:
            outcome = "not measured"
        elif not np.isfinite(int8):
            outcome, broken = "fail", "is no number"
        elif limit is None:
            outcome = "no limit"
        elif broken:
            outcome = "fail"
        bounds = {} if limit is None else limit.model_dump(exclude_none=True)
        yield Verdict(metric, _rounded(fp32), _rounded(int8), bounds, outcome, broken or note)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _broken(limit: Bounds, fp32: float | None, int8: float) -> str:
    """Return which bounds do not hold, or nothing; a value that is no number holds none."""
    base = int8 if fp32 is None else fp32
    no_ratio = base <= 0  # a ratio to nothing says nothing; max_drop holds there too
    both = limit if isinstance(limit, Limit) else Limit.model_construct()
    checks: tuple[tuple[float | None, str, Callable[[float], bool]], ...] = (
        (limit.min, "is below {:g}", lambda bound: int8 >= bound),
        (limit.max, "is above {:g}", lambda bound: int8 <= bound),
        (both.max_drop, "drops by more than {:g}", lambda bound: base - int8 <= bound),
        (both.min_ratio, "is below {:g} of fp32", lambda bound: no_ratio or int8 >= bound * base),
    )
    return "; ".join(words.format(bound) for bound, words, holds in checks if bound is not None and not holds(bound))


def describe(limit: Mapping[str, float], times: float = 1) -> str:
    """Return a limit in a few signs; ``times`` 100 where the metric's values are shown x100."""
    signs = {
        "min": f"≥ {times * limit.get('min', 0):g}",
        "max": f"≤ {times * limit.get('max', 0):g}",
        "max_drop": f"drop ≤ {times * limit.get('max_drop', 0):g}",
        "min_ratio": f"≥ {limit.get('min_ratio', 0):g} of fp32",
    }
    return ", ".join(signs[name] for name in limit)


def outputs_for(
    models: tuple[TextModel, TextModel], texts: Sequence[Text], track: Track = silent
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return what fp32 and int8 give for the texts."""
    return run(models[0], texts, "evaluate fp32", track), run(models[1], texts, "evaluate int8", track)
