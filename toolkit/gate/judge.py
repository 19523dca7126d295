"""The accuracy gate: fp32 against int8 on data that calibration has not seen, judged by limits.

Non-finite output fails before anything else is looked at.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from toolkit import statistics
from toolkit.errors import NumericsError
from toolkit.gate import rows
from toolkit.gate.report import GateReport, Models, RunPlace, Sizes, Verdict
from toolkit.gate.task import Judged, Measured, Outputs
from toolkit.gate.tasks import TASKS
from toolkit.gate.verdicts import Rules, verdicts
from toolkit.limits import Bounds
from toolkit.metrics import Ints
from toolkit.numerics.sqnr import sqnr_db
from toolkit.runtime.manifest import FileInfo
from toolkit.samples import Samples


@dataclass(frozen=True)
class Evidence:
    """What was run, and what came out: (fp32, int8) of each."""

    samples: Samples
    outputs: Outputs  # [texts, dimension] as texts_of orders them
    files: tuple[FileInfo, FileInfo]  # the two ONNX models
    lengths: Ints | None = None  # tokens of each text [texts], if slices by length are wanted
    place: RunPlace | None = None  # where int8 ran, if not on this CPU


def judge(model: Judged, evidence: Evidence, limits: Mapping[str, Bounds], rules: Rules) -> GateReport:
    """Judge int8's outputs by fp32's.

    Raises NumericsError where fp32's are not finite: nothing can be compared with them.
    """
    samples = evidence.samples
    broken = _non_finite_rows(model, evidence)
    note = "NaN or infinity" if broken else ""
    first = Verdict("non_finite_rows", None, float(broken), {"max": 0}, "fail" if broken else "pass", note)
    fp32, int8 = evidence.files
    report = GateReport(
        task=model.task,
        model=Models(model.name, fp32.sha256, int8.sha256),
        dataset=samples.name,
        dataset_digest=samples.digest,
        rows=len(samples.texts),
        decision=rules.decision,
        verdicts=(first,),
        sizes=Sizes(fp32.bytes, int8.bytes),
        place=evidence.place,
    )
    if broken:
        return report
    found = (*_one_for_all(evidence.outputs), *verdicts(_measured(model, evidence), limits, rules))
    return _with_rows(replace(report, verdicts=(first, *found)), model, evidence)


def _with_rows(report: GateReport, model: Judged, evidence: Evidence) -> GateReport:
    answers = rows.Answers(model, evidence.samples, evidence.outputs)
    alike = TASKS[model.task].alike(evidence.outputs)
    return replace(
        report,
        slices=() if evidence.lengths is None else rows.slices(answers, evidence.lengths),
        worst=rows.worst(answers),
        histogram=None if alike is None else rows.histogram(alike),
    )


def _non_finite_rows(model: Judged, evidence: Evidence) -> int:
    unusable, broken = (int((~np.isfinite(y.reshape(len(y), -1))).any(axis=1).sum()) for y in evidence.outputs)
    if unusable:
        raise NumericsError(
            "the float model's output is not finite on evaluation data",
            where=f"{model.name} on {evidence.samples.name}",
            got=f"NaN or infinity for {unusable} of {len(evidence.outputs[0])} texts",
            hint="the float model itself overflows: use another checkpoint",
        )
    return broken


def _one_for_all(outputs: Outputs) -> Iterator[Verdict]:
    """Yield a verdict where int8 tells no text from another, and fp32 does."""
    fp32, int8 = (len(np.unique(y.reshape(len(y), -1).round(4), axis=0)) for y in outputs)
    if int8 == 1 < fp32:
        note = "int8 gives the same for every text"
        yield Verdict("distinct_outputs", float(fp32), float(int8), {"min": 2}, "fail", note)


def _measured(model: Judged, evidence: Evidence) -> list[Measured]:
    fp32, int8 = (file.bytes for file in evidence.files)
    return [
        *TASKS[model.task].measure(model, evidence.samples, evidence.outputs),
        *([] if model.task == "text-generation" else [_sqnr(evidence.outputs)]),  # its outputs are no signal
        Measured("size_ratio", None, int8 / fp32, f"{int8} of {fp32} bytes"),
    ]


def _sqnr(outputs: Outputs) -> Measured:
    reference, found = (y.reshape(len(y), -1).astype(np.float64) for y in outputs)
    signal, noise = (reference**2).sum(axis=1), ((reference - found) ** 2).sum(axis=1)
    value = partial(statistics.bootstrap, statistics.sqnr(signal, noise), len(signal))
    return Measured("sqnr_db", None, sqnr_db(*outputs), value=value, unit="texts")
