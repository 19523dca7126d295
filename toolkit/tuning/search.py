"""The search for the fastest forms: one computation after the other, each form timed beside the one taken so far."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from toolkit.apply import apply
from toolkit.arrange import arrange
from toolkit.feeds import Feed, unpadded_feed
from toolkit.forms import APPROXIMATE, Forms, Profile, Tuning, alternatives
from toolkit.isa.timing import Variant
from toolkit.lower import lower
from toolkit.observe import observe
from toolkit.plan import plan
from toolkit.progress import Track, silent
from toolkit.sources.source import Source
from toolkit.targets import Recipe, Rule, Runtime
from toolkit.tuning.measurement import Session, Trial
from toolkit.tuning.rewrite import with_forms

Clock = Callable[[list[Variant], list[Feed]], npt.NDArray[np.float64]]
"""Returns CPU seconds of a run, [feeds, rounds, variants]."""
SESSION = "session"
# Settings of the session that may be faster; ONNX Runtime's own rewriting takes other forms with them.
_SESSIONS: Mapping[str, Mapping[str, object]] = {
    "recipe": {},
    "extended": {"graph_optimization": "extended"},
    "fusing": {"disabled_optimizers": ()},
}
_IDS = 20  # every model has these token ids, and what they are does not matter to the time


@dataclass(frozen=True)
class _Taken:
    """The forms that were taken so far, and the name of the session's."""

    forms: Forms
    session: str = "recipe"

    def form(self, computation: str) -> str:
        return self.session if computation == SESSION else str(getattr(self.forms, computation))

    def others(self, tuning: Tuning) -> Iterator[tuple[str, str, "_Taken"]]:
        """Return (computation, form, all forms) for each form of each computation."""
        for computation in Forms.model_fields:
            for form in alternatives(computation):
                if form not in APPROXIMATE or tuning.approximate:
                    yield computation, form, _Taken(self.forms.model_copy(update={computation: form}), self.session)
        yield from ((SESSION, name, _Taken(self.forms, name)) for name in _SESSIONS)

    def runtime(self, recipe: Recipe) -> Runtime:
        return recipe.runtime.model_copy(update=dict(_SESSIONS[self.session]))


def search(
    source: Source, recipe: Recipe, clock: Clock, track: Track = silent
) -> tuple[Forms, Session, tuple[Trial, ...]]:
    """Return the fastest forms of a source for a recipe, starting from the recipe's own, and every figure."""
    int8, tuning = int8_graph(source, recipe), recipe.tuning
    names = [str(value.name) for value in int8.graph.inputs]
    feeds = [_feed(profile, names, source.max_length) for profile in tuning.profiles]

    def variant(taken: _Taken) -> Variant:
        model = ir.to_proto(with_forms(int8, taken.forms)).SerializeToString()
        return Variant(model, taken.runtime(recipe).session_info())

    taken, trials = _Taken(recipe.forms), []
    for computation in track((*Forms.model_fields, SESSION), "time forms", len(Forms.model_fields) + 1):
        now = variant(taken)
        choices = [(form, forms) for kind, form, forms in taken.others(tuning) if kind == computation]
        different = [(form, forms, made) for form, forms in choices if (made := variant(forms)) != now]
        if different:
            seconds = clock([now, *(made for _, _, made in different)], feeds)
            found = _trials(computation, taken.form(computation), [form for form, _, _ in different], seconds, tuning)
            trials += found
            taken = next((forms for (_, forms, _), trial in zip(different, found, strict=True) if trial.taken), taken)
    runtime = taken.runtime(recipe)
    session = Session(
        graph_optimization=runtime.graph_optimization, disabled_optimizers=tuple(runtime.disabled_optimizers)
    )
    return taken.forms, session, tuple(trials)


def _trials(
    computation: str, before: str, forms: list[str], seconds: npt.NDArray[np.float64], tuning: Tuning
) -> list[Trial]:
    """Judge what was timed, [feeds, rounds, variants], the first variant being the one before."""
    weights = np.array([profile.weight for profile in tuning.profiles])
    speeds = np.exp(np.tensordot(weights / weights.sum(), np.log(seconds[:, :, :1] / seconds[:, :, 1:]), 1))
    median, certain = np.median(speeds, 0), np.quantile(speeds, 0.25, 0) > 1
    best = int(np.argmax(median))
    wins = bool(median[best] >= 1 + tuning.minimum_gain and certain[best])
    times = np.round(1e3 * np.median(seconds, 1), 4)
    return [
        Trial(
            computation=computation,
            form=form,
            instead_of=before,
            milliseconds=tuple(times[:, number + 1].tolist()),
            milliseconds_before=tuple(times[:, 0].tolist()),
            speed=round(float(median[number]), 4),
            taken=wins and number == best,
        )
        for number, form in enumerate(forms)
    ]


def int8_graph(source: Source, recipe: Recipe) -> ir.Model:
    """Return the graph whose forms are timed; its numbers are of any inputs, which changes no time."""
    lowered = lower(source.model)
    quick = Rule(why="timed alone", select="linear", smoothing="none")
    rules = recipe.quantization.model_copy(update={"rules": (*recipe.quantization.rules, quick)})
    ids = np.random.default_rng(0).integers(0, _IDS, (4, min(16, source.max_length)))
    feed = unpadded_feed(ids, [str(value.name) for value in lowered.model.graph.inputs])
    lowered, ranges = arrange(lowered, observe(lowered, [feed]))
    return apply(lowered, plan(lowered, ranges, rules))


def _feed(profile: Profile, inputs: list[str], max_length: int) -> Feed:
    shape = profile.batch, min(profile.length, max_length)
    return unpadded_feed(np.random.default_rng(0).integers(0, _IDS, shape), inputs)
