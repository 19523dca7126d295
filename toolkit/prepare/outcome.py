"""What became of each model for each target, of the image, and of the whole stack."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

SCHEMA = 1
Result = Literal["built", "up to date", "to build", "gate failed", "failed", "skipped"]
GATE_FAILED, FAILED = 3, 1


@dataclass(frozen=True)
class Outcome:
    """One model for one target. ``gate`` is the report's summary as the bundle's manifest carries it."""

    model: str
    target: str
    result: Result
    why: str
    bundle: Path | None = None  # where it stands, if it does
    task: str | None = None
    gate: Mapping[str, object] | None = None
    seconds: float = 0.0
    peak_bytes: int = 0  # the most resident memory that its process had


@dataclass(frozen=True)
class ImageOutcome:
    """The image of all bundles."""

    result: Result
    why: str
    path: Path | None = None
    digest: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """The whole run."""

    stack: str
    out: Path
    models: tuple[Outcome, ...]
    image: ImageOutcome
    fallbacks: Mapping[str, str]  # a model → the one that it stands in for

    @property
    def exit_code(self) -> int:
        """0 where nothing failed, 3 where only gates did, else 1."""
        results = {self.image.result, *(outcome.result for outcome in self.models)}
        if "failed" in results:
            return FAILED
        return GATE_FAILED if "gate failed" in results else 0

    def as_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        plain = _plain(asdict(self))
        return {"schema": SCHEMA, "passed": self.exit_code == 0, **plain}  # type: ignore[dict-item]


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
