"""The accuracy gate: fp32 against int8 on data that calibration has not seen, judged by limits."""

from toolkit.gate.classification import gold_labels, require_labels
from toolkit.gate.elsewhere import Proven, proven
from toolkit.gate.judge import Evidence, judge
from toolkit.gate.refusal import refusal, unwritten
from toolkit.gate.report import (
    SCHEMA,
    Example,
    GateReport,
    Histogram,
    Models,
    Outcome,
    RunPlace,
    Sizes,
    Slice,
    Trend,
    Verdict,
)
from toolkit.gate.running import CHUNK, Reading, lengths_of, outputs_for, reading_of, run
from toolkit.gate.subject import Elsewhere, Subject, Trial, compare, file_info
from toolkit.gate.task import Judged, Measured, Outputs, TaskGate, Told
from toolkit.gate.tasks import TASKS, texts_of
from toolkit.gate.token_classification import require_tags
from toolkit.gate.trend import against
from toolkit.gate.verdicts import Rules, describe, verdicts
from toolkit.statistics import Interval

__all__ = [
    "CHUNK",
    "SCHEMA",
    "TASKS",
    "Elsewhere",
    "Evidence",
    "Example",
    "GateReport",
    "Histogram",
    "Interval",
    "Judged",
    "Measured",
    "Models",
    "Outcome",
    "Outputs",
    "Proven",
    "Reading",
    "Rules",
    "RunPlace",
    "Sizes",
    "Slice",
    "Subject",
    "TaskGate",
    "Told",
    "Trend",
    "Trial",
    "Verdict",
    "against",
    "compare",
    "describe",
    "file_info",
    "gold_labels",
    "judge",
    "lengths_of",
    "outputs_for",
    "proven",
    "reading_of",
    "refusal",
    "require_labels",
    "require_tags",
    "run",
    "texts_of",
    "unwritten",
    "verdicts",
]
