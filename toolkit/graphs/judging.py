"""The gate of a model of arrays: a row is a sample, and each output has metrics of its own."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx

from toolkit import metrics, statistics
from toolkit.errors import DataError
from toolkit.gate import GateReport, Measured, Models, Sizes, Verdict, verdicts
from toolkit.gate.verdicts import Rules
from toolkit.graphs.feeds import Feeds
from toolkit.graphs.measuring import Rows
from toolkit.limits import Bounds
from toolkit.metrics import Ints
from toolkit.numerics.sqnr import CEILING_DB
from toolkit.runtime.manifest import FileInfo
from toolkit.runtime.tensor_manifest import TASK

_SCORES = re.compile(r"logit|prob|score|class|label|softmax", re.IGNORECASE)
_SOFTMAX = ("Softmax", "LogSoftmax")
_SHAPING = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast")


@dataclass(frozen=True)
class Subject:
    """What is judged: its name, the files of fp32 and int8, and which outputs give a score for each class."""

    name: str
    files: tuple[FileInfo, FileInfo]
    scores: tuple[str, ...] = ()


def scores_of(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the outputs that look like one score a class: one row of at least two numbers a sample, float.

    They end in a softmax, or are called logits, probabilities, scores, classes or labels.
    """
    made = {name: node for node in model.graph.node for name in node.output}
    return tuple(value.name for value in model.graph.output if _is_row(value) and _scored(value.name, made))


def _is_row(value: onnx.ValueInfoProto) -> bool:
    kind, shape = value.type.tensor_type, value.type.tensor_type.shape.dim
    row = len(shape) == 2 and (not shape[0].HasField("dim_value") or shape[0].dim_value == 1)
    return kind.elem_type == onnx.TensorProto.FLOAT and row and shape[1].dim_value != 1


def _scored(name: str, made: Mapping[str, onnx.NodeProto]) -> bool:
    node = made.get(name)
    while node is not None and node.op_type in _SHAPING:
        node = made.get(node.input[0])
    return bool(_SCORES.search(name)) or (node is not None and node.op_type in _SOFTMAX)


@dataclass(frozen=True)
class Evidence:
    """What was run, and what came out; ``digest`` is that of the feeds."""

    feeds: Feeds
    rows: Rows
    digest: str


def judge(subject: Subject, evidence: Evidence, limits: Mapping[str, Bounds], rules: Rules) -> GateReport:
    """Judge what was measured by limits; what is not finite fails before anything else is looked at."""
    fp32, int8 = subject.files
    feeds, rows = evidence.feeds, evidence.rows
    note = "NaN or infinity" if rows.broken else ""
    found = [Verdict("non_finite_rows", None, float(rows.broken), {"max": 0}, "fail" if rows.broken else "pass", note)]
    if not rows.broken:
        found += _one_for_all(rows)
        measured = [*_measured(subject, feeds, rows), _size(subject)]
        bounds = {one.metric: limit for one in measured if (limit := limits.get(one.metric.partition(" of ")[0]))}
        found += verdicts(measured, bounds, rules)
    return GateReport(
        task=TASK,
        model=Models(subject.name, fp32.sha256, int8.sha256),
        dataset=feeds.name,
        dataset_digest=evidence.digest,
        rows=len(feeds),
        decision=rules.decision,
        verdicts=tuple(found),
        sizes=Sizes(fp32.bytes, int8.bytes),
    )


def _one_for_all(rows: Rows) -> Iterator[Verdict]:
    fp32, int8 = rows.distinct
    if int8 == 1 < fp32:
        note = "int8 gives the same for every sample"
        yield Verdict("distinct_outputs", float(fp32), float(int8), {"min": 2}, "fail", note)


def _measured(subject: Subject, feeds: Feeds, rows: Rows) -> Iterator[Measured]:
    """Yield the metrics of each output: of scores the answers, of whole numbers whether they are the same."""
    scores = subject.scores or tuple(name for name, kind in rows.kinds.items() if kind == "f")[:1]
    gold = None if feeds.labels is None else np.array(feeds.labels, np.int64)
    for name, kind in rows.kinds.items():
        called = f" of {name}" if len(rows.kinds) > 1 else ""
        if name in scores and (gold is not None or subject.scores):
            _require_labels(feeds, rows.sizes[name])
            yield from _answers(rows, name, called, gold if name == scores[0] else None)
        if kind == "f":
            yield from _closeness(rows, name, called)
        else:
            yield _flips(1 - rows.column(name, "same"), called)


def _answers(rows: Rows, name: str, called: str, gold: Ints | None) -> Iterator[Measured]:
    tops = np.array([row.tops for row in rows.outputs[name]], np.int64)
    if gold is not None:
        fp32, int8 = (tops[:, column] == gold for column in (0, 1))
        change = partial(statistics.paired_share, int((int8 & ~fp32).sum()), int((fp32 & ~int8).sum()), len(gold))
        values = [metrics.accuracy(tops[:, column], gold) for column in (0, 1)]
        value = partial(statistics.share, float(int8.sum()), len(gold))
        yield Measured(f"accuracy{called}", values[0], values[1], value=value, change=change)
    yield _flips((tops[:, 0] != tops[:, 1]).astype(np.float64), called)


def _flips(flipped: statistics.Doubles, called: str) -> Measured:
    share = float(flipped.mean())
    value = partial(statistics.share, float(flipped.sum()), len(flipped))
    return Measured(f"label_flips{called}", None, share, value=value)


def _closeness(rows: Rows, name: str, called: str) -> Iterator[Measured]:
    cosines, signal, noise = (rows.column(name, field) for field in ("cosine", "signal", "noise"))
    if np.isfinite(cosines).all():
        mean = partial(statistics.bootstrap, statistics.mean(cosines), len(cosines))
        p1 = partial(statistics.quantile, cosines, 0.01, (-1, 1))
        yield Measured(f"cosine_mean{called}", None, float(cosines.mean()), value=mean)
        yield Measured(f"cosine_p1{called}", None, float(np.percentile(cosines, 1)), value=p1)
        yield Measured(f"cosine_min{called}", None, float(cosines.min()))
    if not noise.any():
        yield Measured(f"sqnr_db{called}", None, CEILING_DB)
        return
    value = partial(statistics.bootstrap, statistics.sqnr(signal, noise), len(signal))
    (found,) = statistics.sqnr(signal, noise)(np.ones((1, len(signal))))
    yield Measured(f"sqnr_db{called}", None, float(found), value=value)


def _size(subject: Subject) -> Measured:
    fp32, int8 = (file.bytes for file in subject.files)
    return Measured("size_ratio", None, int8 / fp32, f"{int8} of {fp32} bytes")


def _require_labels(feeds: Feeds, classes: int) -> None:
    """Raise DataError where a label is no class of the model."""
    wrong = [label for label in feeds.labels or () if not 0 <= label < classes]
    if wrong:
        expected = f"0 to {classes - 1}, as the model has so many classes"
        what = "the evaluation set's labels are not the model's"
        raise DataError(what, where=feeds.name, got=wrong[0], expected=expected)


def worst_sqnr(report: GateReport) -> float:
    """Return the least SQNR of any output, or minus infinity where there is none."""
    found = [one.int8 for one in report.verdicts if one.metric.startswith("sqnr_db") and one.int8 is not None]
    return min(found, default=float("-inf"))
