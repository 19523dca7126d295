"""What a search works with: the rungs of one model, its table, and the model that takes any mix of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.errors import NumericsError, UsageError
from toolkit.fallback.costs import Clock, Doubles, Profiles, estimated, measured
from toolkit.fallback.heldout import hold_out
from toolkit.fallback.promises import promised
from toolkit.fallback.rungs import Ladder, compose, make_rungs, pieces_of, units_of
from toolkit.fallback.sensitivity import Table, noise_of, sensitivity, table
from toolkit.fallback.switch import Switched, switchable
from toolkit.feeds import equal_length_feeds, unpadded_feed
from toolkit.isa.place import Place
from toolkit.isa.timing import Variant, cpu_seconds
from toolkit.limits import Bounds
from toolkit.lower import Lowered
from toolkit.lower.linear import Float
from toolkit.observe import observe
from toolkit.plan import QuantPlan, plan
from toolkit.progress import Track, silent
from toolkit.runtime.tokenization import Encoded
from toolkit.sources.source import Source
from toolkit.targets import Quantization, Recipe


@dataclass(frozen=True, eq=False)
class Model:
    """A model as a search takes it: lowered, with its calibration texts, and where and for what it is timed."""

    source: Source
    lowered: Lowered
    texts: Sequence[Encoded]
    recipe: Recipe
    build: Callable[[QuantPlan], bytes]
    profiles: Profiles
    place: Place | None = None  # None: costs are estimated
    threads: int | None = None

    @property
    def inputs(self) -> list[str]:
        """The names of the graph's inputs."""
        return [str(value.name) for value in self.source.model.graph.inputs]


@dataclass(frozen=True, eq=False)
class Bench:
    """A model's rungs side by side, on texts held out of calibration; ``levels`` are the places of units' rungs."""

    model: Model
    table: Table
    switched: Switched
    reference: Float
    held_out: int
    fp32: bytes
    start: bytes  # the model with all units in the first rung

    def noise(self, levels: Sequence[int]) -> float:
        """Return the energy of the error at the output, all units together."""
        return noise_of(self.reference, self.switched.outputs(levels))

    def reached(self, levels: Sequence[int], noise: float, limits: Mapping[str, Bounds]) -> bool:
        """Tell whether the noise is small enough, and the limits hold that need no labels."""
        predicted = sum(self.table.noise[unit, level] for unit, level in enumerate(levels))
        if predicted > 2 * noise:
            return False
        found, several = self.switched.outputs(levels), self.model.source.multi_label
        return noise_of(self.reference, found) <= noise and promised(limits, self.reference, found, several)

    def plan(self, levels: Sequence[int], why: str) -> QuantPlan:
        """Return the plan of a mix; ``why`` is said of what has another rung than the first."""
        rungs = self.table.rungs
        said = {unit: why.format(rungs[level].name) for unit, level in enumerate(levels) if level}
        return compose(rungs, self.table.units, levels, said)

    def room(self, limits: Mapping[str, Bounds]) -> float:
        """Return how many bytes the model may grow until it breaks its limit of size."""
        limit = limits.get("size_ratio")
        most = float("inf") if limit is None or limit.max is None else limit.max
        return most * len(self.fp32) - len(self.start)

    def seconds(self, models: Sequence[bytes]) -> Doubles | None:
        """Return the CPU seconds of whole models [models, profiles], timed in turn; None where nothing can be timed."""
        model = self.model
        if model.place is None:
            return None
        random, session = np.random.default_rng(0), model.recipe.runtime.session_info()
        shapes = [(profile.batch, profile.length) for profile in model.profiles]
        feeds = [unpadded_feed(random.integers(0, 20, shape), model.inputs) for shape in shapes]
        found = cpu_seconds(model.place, [Variant(each, session) for each in models], feeds, rounds=7)
        return np.asarray(np.median(found, axis=1).T, np.float64)


def make_bench(model: Model, ladder: Ladder, track: Track = silent) -> Bench:
    """Calibrate without the held-out texts, make all rungs, and measure what each layer makes of the output.

    Raises UsageError where the recipe puts no layer in int8, NumericsError where fp32's output is not finite.
    """
    calibrating, held_out = hold_out(model.texts)
    ranges = observe(model.lowered, equal_length_feeds(calibrating, model.inputs), track)

    def planner(rules: Quantization) -> QuantPlan:
        return plan(model.lowered, ranges, rules, track)

    rungs = make_rungs(model.lowered, planner, model.recipe.quantization, ladder)
    units = units_of(rungs[0].plan)
    if not units:
        hint = "look at the recipe's rules: edgequant targets TARGET"
        raise UsageError(
            "no layer of the model is in int8: there is nothing to trade", where=model.source.name, hint=hint
        )
    pieces = pieces_of(rungs, units)
    feeds = equal_length_feeds(held_out, model.inputs)
    fp32 = ir.to_proto(model.source.model).SerializeToString()
    reference = _finite(model.source, Switched(fp32, feeds, model.source.output, model.threads).outputs([]))
    mixed = switchable([rung.model for rung in rungs], [unit.linears for unit in units])
    switched = Switched(mixed, feeds, model.source.output, model.threads)
    noise = sensitivity(switched, reference, rungs, units, track)
    if model.place is None:
        spent = estimated(pieces, model.recipe.verify.isa, model.profiles)
    else:
        clock = Clock(model.place, model.recipe.runtime.session_info(), model.profiles)
        spent = measured(rungs, units, pieces, clock, track)
    known = table(rungs, units, pieces, noise, spent)
    return Bench(model, known, switched, reference, len(held_out), fp32, model.build(rungs[0].plan))


def _finite(source: Source, reference: Float) -> Float:
    if not np.isfinite(reference).all():
        raise NumericsError(
            "the float model's output is not finite on calibration data",
            where=source.name,
            hint="the float model itself overflows: use another checkpoint",
        )
    return reference
