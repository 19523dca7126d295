"""What was given up where, for people and for quantization.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from toolkit.fallback.bench import Bench


@dataclass(frozen=True)
class GivenUp:
    """Layers that share an input and have another treatment than the one that the search started with."""

    layers: tuple[str, ...]
    treatment: str
    noise: float  # part of the noise at the output that this takes away, as measured for these layers by themselves
    cost: tuple[float, ...]  # at each shape, in CPU ms, or in multiply-adds where these are what is known
    bytes: int


@dataclass(frozen=True)
class Look:
    """One look at the gate's evaluation set: how sure the gate had to be, and what it said."""

    confidence: float
    given_up: int  # layers
    sqnr_db: float  # at the output, on texts held out of calibration
    passed: bool
    refused: tuple[str, ...]  # metrics


@dataclass(frozen=True)
class Fallback:
    """How a plan came about that is not the recipe's alone."""

    why: str
    start: str  # the treatment that the search started with
    layers: int  # that have it
    held_out: int  # calibration texts that chose the layers
    costs: str  # where they come from
    measured: bool  # whether costs are CPU ms; else they are multiply-adds
    shapes: tuple[tuple[int, int], ...]  # (batch, tokens)
    given_up: tuple[GivenUp, ...]
    predicted: tuple[float, ...]  # cost of all of it at each shape, summed
    timed: tuple[float, ...] | None  # the same of the whole model, in CPU ms
    looks: tuple[Look, ...]
    end: str  # why it went no further; empty where the gate passed

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return asdict(self)


def report(bench: Bench, levels: Sequence[int], why: str, looks: Sequence[Look], end: str, final: bytes) -> Fallback:
    """Return the report of a search that ended at some levels, with the model that they make."""
    table, rows = bench.table, np.arange(len(levels))
    more = (table.costs.values[rows, levels] - table.costs.values[:, 0]) * (1e3 if table.costs.measured else 1)
    total = float(table.noise[:, 0].sum()) or 1.0
    given = tuple(
        GivenUp(
            tuple(linear.name for linear in table.units[unit].linears),
            table.rungs[level].name,
            round(float(table.noise[unit, 0] - table.noise[unit, level]) / total, 4),
            _rounded(more[unit]),
            int(table.bytes[unit, level] - table.bytes[unit, 0]),
        )
        for unit, level in enumerate(levels)
        if level
    )
    timed = bench.seconds([bench.start, final]) if given else None
    return Fallback(
        why=why,
        start=table.rungs[0].name,
        layers=sum(len(unit.places) for unit in table.units),
        held_out=bench.held_out,
        costs=table.costs.how,
        measured=table.costs.measured,
        shapes=tuple((profile.batch, profile.length) for profile in table.costs.profiles),
        given_up=given,
        predicted=_rounded(more.sum(0)),
        timed=None if timed is None else _rounded(1e3 * (timed[1] - timed[0])),
        looks=tuple(looks),
        end=end,
    )


def sentences(found: Mapping[str, Any]) -> list[str]:
    """Return ``Fallback.as_dict``, or what quantization.json has of it, in words: one line a unit that was given up."""
    shape, unit = "x".join(map(str, found["shapes"][-1])), "ms" if found["measured"] else "multiply-adds"
    count = sum(len(item["layers"]) for item in found["given_up"])
    chosen = f"chosen by {found['held_out']} calibration texts; {found['costs']}"
    lines = [f"{found['why']}: {count} of {found['layers']} layers changed from {found['start']}, {chosen}"]
    for item in found["given_up"]:
        cost = f"{item['cost'][-1]:+.3g} {unit} at {shape}, {item['bytes'] / 1e6:+.2f} MB"
        lines.append(f"  {', '.join(item['layers'])}: {item['treatment']}; {item['noise']:.1%} of the noise, {cost}")
    if found["given_up"]:
        timed = "" if found["timed"] is None else f", timed {found['timed'][-1]:+.3g} ms"
        lines.append(f"  in all {found['predicted'][-1]:+.3g} {unit} at {shape}{timed}")
    for number, look in enumerate(found["looks"], 1):
        said = "passed" if look["passed"] else f"refused for {', '.join(look['refused'])}"
        lines.append(
            f"  look {number} of the gate, {look['given_up']} layers changed, {look['sqnr_db']:.1f} dB on held-out "
            f"texts, confidence {look['confidence']:.4g}: {said}"
        )
    return [*lines, *([f"  {found['end']}"] if found["end"] else [])]


def _rounded(values: Any) -> tuple[float, ...]:  # noqa: ANN401
    return tuple(round(float(value), 4) for value in values)
