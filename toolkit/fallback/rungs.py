"""The rungs that a layer can take, from the one that the recipe decides to float, and plans that mix them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx
import onnx_ir as ir

from toolkit.apply import apply
from toolkit.fallback.pieces import Cutter, Piece
from toolkit.lower import Linear, Lowered
from toolkit.plan import LinearPlan, QuantPlan
from toolkit.targets import Quantization, Rule

FLOAT = "float"
PLAIN = "int8 without smoothing"
RECIPE = "int8 as the recipe says"
OUTLIERS = "int8, outlier channels in float"

Planner = Callable[[Quantization], QuantPlan]
Ladder = Mapping[str, Mapping[str, object]]
"""What a rule says of every linear layer that the recipe puts in int8, by the name of the rung, weakest first."""
FALLBACK: Ladder = {RECIPE: {}, OUTLIERS: {"outliers": "any"}}
BUDGET: Ladder = {PLAIN: {"smoothing": "none", "outliers": "none"}, **FALLBACK}


@dataclass(frozen=True, eq=False)
class Rung:
    """One rung of every layer: what it is called, its plan, and the graph of it."""

    name: str
    plan: QuantPlan
    model: onnx.ModelProto


@dataclass(frozen=True)
class Unit:
    """Layers that share an input, and so a quantizer, or that share weights: they change their rung together."""

    places: tuple[int, ...]  # in QuantPlan.linears
    linears: tuple[Linear, ...]

    @property
    def name(self) -> str:
        """The names of its layers."""
        return ", ".join(linear.name for linear in self.linears)


def make_rungs(lowered: Lowered, planner: Planner, rules: Quantization, ladder: Ladder) -> list[Rung]:
    """Return the rungs of the ladder in its order, then float."""
    plans = {name: planner(_with(rules, name, settings)) for name, settings in ladder.items()}
    plans[FLOAT] = _all_float(next(iter(plans.values())))
    return [Rung(name, plan, ir.to_proto(apply(lowered, plan))) for name, plan in plans.items()]


def units_of(plan: QuantPlan) -> list[Unit]:
    """Return the layers that a plan has in int8, in the order of the graph."""
    found: dict[tuple[str, ...], list[int]] = {}
    for places in _families(plan).values():
        weights = tuple(plan.linears[place].linear.weight_digest for place in places)
        found.setdefault(weights, []).extend(places)
    return [Unit(tuple(places), tuple(plan.linears[place].linear for place in places)) for places in found.values()]


def _families(plan: QuantPlan) -> dict[str, list[int]]:
    """Return the places of the int8 layers by their input."""
    families: dict[str, list[int]] = {}
    for place, item in enumerate(plan.linears):
        if item.int8 is not None:
            families.setdefault(item.linear.input, []).append(place)
    return families


def pieces_of(rungs: Sequence[Rung], units: Sequence[Unit]) -> list[list[list[Piece]]]:
    """Return the nodes of each layer in each rung: [units][layers][rungs]."""
    cutters = [Cutter(rung.model.graph) for rung in rungs]
    return [[[cutter.piece(linear) for cutter in cutters] for linear in unit.linears] for unit in units]


def compose(rungs: Sequence[Rung], units: Sequence[Unit], levels: Sequence[int], why: Mapping[int, str]) -> QuantPlan:
    """Return the plan that takes each unit's layers from the rung at its level, and says why for some units."""
    linears = list(rungs[0].plan.linears)
    for number, (unit, level) in enumerate(zip(units, levels, strict=True)):
        for place in unit.places:
            linears[place] = _saying(rungs[level].plan.linears[place], why.get(number))
    return replace(rungs[0].plan, linears=tuple(linears))


def _saying(item: LinearPlan, why: str | None) -> LinearPlan:
    if why is None:
        return item
    return replace(item, treatment=item.treatment.model_copy(update={"why": (*item.treatment.why, why)}))


def _with(rules: Quantization, name: str, settings: Mapping[str, object]) -> Quantization:
    if not settings:
        return rules
    why = f"{name}, by a fallback or a budget."
    rule = Rule.model_validate({"select": "linear", "why": why[0].upper() + why[1:], **settings})
    return rules.model_copy(update={"rules": (*rules.rules, rule)})


def _all_float(plan: QuantPlan) -> QuantPlan:
    linears = [
        replace(item, int8=None, sqnr_db=None, treatment=item.treatment.model_copy(update={"precision": "float"}))
        for item in plan.linears
    ]
    return replace(plan, linears=tuple(linears))
