"""What a comparison says: a row for each engine, those that could not run included."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

SCHEMA = 1

Status = Literal["ran", "not installed", "failed"]


@dataclass(frozen=True)
class Cosines:
    """Of each text's outputs to the float model's."""

    mean: float
    p1: float
    min: float


@dataclass(frozen=True)
class Pace:
    """At one shape (batch, tokens): CPU milliseconds of a run on one thread, and the median ratio fp32 / this."""

    batch: int
    length: int
    ms: float
    ratio: float


@dataclass(frozen=True)
class Quality:
    """What is measured of a model's outputs; empty metrics and no cosines where they are not finite."""

    metrics: Mapping[str, float]
    cosines: Cosines | None  # None where an output is one number
    batch_difference: float
    """The largest difference of one text's output alone and in a padded batch."""


@dataclass(frozen=True)
class Row:
    """One engine's model, or why there is none."""

    engine: str
    what: str
    status: Status
    note: str = ""  # why it did not run; what is special where it did
    by: str = ""  # which packages made it
    bytes: int | None = None
    build_seconds: float | None = None
    build_peak_bytes: int | None = None
    run_peak_bytes: int | None = None
    quality: Quality | None = None
    paces: tuple[Pace, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All rows, fp32 first, and what they hold for."""

    model: str
    target: str
    float_graph: str
    calibration: str
    dataset: str
    rows: tuple[Row, ...]
    kernels: str

    @property
    def failed(self) -> tuple[str, ...]:
        """Engines that are installed and gave no model that runs."""
        return tuple(row.engine for row in self.rows if row.status == "failed")

    def as_dict(self) -> dict[str, object]:
        """Return the comparison for JSON."""
        return {"schema": SCHEMA, **asdict(self)}
