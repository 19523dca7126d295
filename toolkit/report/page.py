"""What a page shows beside the gate's report: layers, parts of the model, times and where it all comes from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.fallback import sentences
from toolkit.gate import GateReport
from toolkit.speed import Speed


@dataclass(frozen=True)
class Layer:
    """One tensor's decision, as quantization.json has it."""

    name: str
    kind: str  # its name without its number, which layers of one role share
    precision: str
    sqnr_db: float | None  # at its output, None where it stayed float
    why: str


@dataclass(frozen=True)
class Part:
    """Bytes of one part of the model file: embedding, linear, or the rest."""

    name: str
    fp32: int | None  # None where the float model is not at hand
    int8: int


@dataclass(frozen=True)
class Page:
    """All that a page, a summary or a JUnit file is made of."""

    report: GateReport
    target: str = ""
    layers: tuple[Layer, ...] = ()
    parts: tuple[Part, ...] = ()
    speeds: tuple[Speed, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    mixed: tuple[str, ...] = ()  # what a fallback or a budget gave up, in sentences

    @property
    def title(self) -> str:
        """What was judged."""
        return f"{self.report.model.name} for {self.target}" if self.target else self.report.model.name


def layers(decisions: Mapping[str, Any]) -> tuple[Layer, ...]:
    """Return the layers of a bundle's decisions, embedding tables first, in the order of the graph."""
    return tuple(
        Layer(item["name"], _kind(item["name"]), item["precision"], item.get("sqnr_db"), item["why"][-1])
        for item in (*decisions["embedding"], *decisions["linear"])
    )


def mixed(decisions: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a bundle's decisions say of a fallback or a budget."""
    return tuple(line.strip() for line in sentences(decisions["fallback"])) if "fallback" in decisions else ()


def provenance(found: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return a manifest's provenance as names and words, nested keys joined by spaces."""
    return tuple(_flat(found, ""))


def _kind(name: str) -> str:
    """Return ``encoder.layer.3.output.dense/MatMul`` as ``output.dense``: what follows the last number."""
    last = re.split(r"(?:^|[./_])\d+(?=[./_])", name)[-1]
    return re.sub(r"/(MatMul|Gemm)$", "", last).strip("./_") or name


def _flat(found: Mapping[str, object], above: str) -> Sequence[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in found.items():
        named = f"{above} {key}".strip().replace("_", " ")
        said = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        pairs += _flat(value, named) if isinstance(value, Mapping) else [(named, said)]
    return pairs
