"""What the gate says: one report with its verdicts, slices, worst rows and sizes. docs/gate.md describes its JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from toolkit.statistics import Interval
from toolkit.targets import Decision

SCHEMA = 1
"""Of the report's JSON: it grows when a key changes its meaning or goes away."""

Outcome = Literal["pass", "fail", "undecided", "not measured", "no limit"]


@dataclass(frozen=True)
class Verdict:
    """One metric: what fp32 and int8 reach, and what the limit says to it."""

    metric: str
    fp32: float | None  # None where the metric compares the two
    int8: float | None  # None where it could not be measured
    limit: Mapping[str, float]  # by the names of targets.Limit
    outcome: Outcome
    note: str = ""
    interval: Interval | None = None  # of int8 - fp32 where both have the metric, else of the value
    rows_needed: int | None = None  # how many more would decide, where the data do not


@dataclass(frozen=True)
class Slice:
    """The rows of one range of lengths, and what int8 reaches on them."""

    name: str  # "≤16", "≤64", "≤128", "longer": tokens of the row's longer text
    rows: int
    metrics: Mapping[str, float | None]  # as Verdict.int8
    fp32: Mapping[str, float | None]  # as Verdict.fp32


@dataclass(frozen=True)
class Example:
    """A row on which the two models differ most."""

    text: str
    text2: str | None
    fp32: str  # what each of the two said
    int8: str
    distance: float  # 0 where they said the same; its unit is the task's


@dataclass(frozen=True)
class Histogram:
    """Counts between neighbouring edges, of the cosines of int8 to fp32; there is one edge more than counts."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Sizes:
    """Bytes of the two model files."""

    fp32: int
    int8: int


@dataclass(frozen=True)
class Models:
    """Which two models were compared: their common name and the sha256 of the two ONNX files."""

    name: str
    fp32: str
    int8: str


@dataclass(frozen=True)
class RunPlace:
    """On whose kernels the int8 model ran, where it was not simply this CPU, and what proves it."""

    isa: str
    how: str  # "native", "masked" or "emulated"
    proof: str


@dataclass(frozen=True)
class Trend:
    """A metric of int8 in an earlier report and now."""

    metric: str
    previous: float
    now: float
    outcome: Outcome


@dataclass(frozen=True)
class GateReport:
    """All verdicts, and on what they were reached."""

    task: str
    model: Models
    dataset: str
    dataset_digest: str
    rows: int
    decision: Decision
    verdicts: tuple[Verdict, ...]
    sizes: Sizes
    place: RunPlace | None = None  # None: this CPU
    slices: tuple[Slice, ...] = ()
    worst: tuple[Example, ...] = ()
    histogram: Histogram | None = None
    trend: tuple[Trend, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed and nothing that has a limit was left undecided."""
        outcomes = {verdict.outcome for verdict in self.verdicts} | {item.outcome for item in self.trend}
        return outcomes.isdisjoint({"fail", "undecided"})

    def as_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {"schema": SCHEMA, "passed": self.passed, **asdict(self)}

    def summary(self) -> dict[str, object]:
        """Return what a bundle's manifest carries: no text of the evaluation set travels to a device."""
        left_out = ("slices", "worst", "histogram", "trend")
        return {name: value for name, value in self.as_dict().items() if name not in left_out}
