"""``--budget``: what a model may cost, in accuracy or in time, while the other is made as good as it can be.

accuracy            as fast as possible within the recipe's limits
METRIC>=VALUE       as fast as possible within this limit and the recipe's others; <= for what must be small
speedup>=N[@BxT]    as accurate as possible while N times as fast as fp32, at every shape or at B texts of T tokens
Nms@BxT             as accurate as possible within N ms of CPU time for B texts of T tokens
"""

import re
from dataclasses import dataclass

from toolkit.errors import UsageError
from toolkit.fallback.costs import Profiles
from toolkit.forms import Profile
from toolkit.limits import Bounds
from toolkit.runtime.manifest import Task
from toolkit.strict import nearest
from toolkit.targets import Recipe

EXPECTED = "accuracy, METRIC>=VALUE, METRIC<=VALUE, speedup>=N, speedup>=N@BxT or Nms@BxT"
_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"
_SHAPE = r"@([1-9]\d{0,4})x([1-9]\d{0,5})"
_METRIC = re.compile(rf"([a-z][a-z0-9_]*)(>=|<=){_NUMBER}")
_SPEEDUP = re.compile(rf"speedup>={_NUMBER}(?:{_SHAPE})?")
_TIME = re.compile(rf"{_NUMBER}ms{_SHAPE}")


@dataclass(frozen=True)
class AccuracyBudget:
    """As fast as possible within limits: the recipe's, and one more where a metric is named."""

    text: str
    metric: str = ""
    bounds: Bounds | None = None

    def within(self, recipe: Recipe, task: Task) -> Recipe:
        """Return the recipe with the limit among those of the task; UsageError where the task has no such metric."""
        if self.bounds is None:
            return recipe
        key = task.replace("-", "_")
        limits = getattr(recipe.gate, key)
        known = type(limits).model_fields
        if self.metric not in known:
            hint = nearest(self.metric, known)
            raise UsageError(
                f"--budget: {task} has no such metric", got=self.metric, expected=", ".join(known), hint=hint
            )
        before = getattr(limits, self.metric)
        said = {} if before is None else before.model_dump(exclude_none=True)
        said |= self.bounds.model_dump(exclude_none=True)
        new = getattr(type(limits).model_validate({self.metric: said}), self.metric)
        gate = recipe.gate.model_copy(update={key: limits.model_copy(update={self.metric: new})})
        return recipe.model_copy(update={"gate": gate})


@dataclass(frozen=True)
class LatencyBudget:
    """As accurate as possible within a time: ``speedup`` over fp32, or ``ms``; ``shape`` None: at every shape."""

    text: str
    speedup: float | None = None
    ms: float | None = None
    shape: tuple[int, int] | None = None

    def profiles(self, usual: Profiles) -> Profiles:
        """Return where the time is measured: at the budget's shape, or else at those given."""
        if self.shape is None:
            return usual
        batch, length = self.shape
        return (Profile(name="budget", batch=batch, length=length, weight=1),)


Budget = AccuracyBudget | LatencyBudget


def parse_budget(text: str) -> Budget:
    """Return what the text asks for; UsageError where it is none of EXPECTED."""
    if text == "accuracy":
        return AccuracyBudget(text)
    if found := _TIME.fullmatch(text):
        number, batch, tokens = found.groups()
        return LatencyBudget(text, ms=_positive(number, text), shape=(int(batch), int(tokens)))
    if found := _SPEEDUP.fullmatch(text):
        number, batch, tokens = found.groups()
        return LatencyBudget(text, _positive(number, text), shape=(int(batch), int(tokens)) if batch else None)
    found = _METRIC.fullmatch(text)
    if found is None:
        raise UsageError("--budget is not understood", got=repr(text), expected=EXPECTED)
    value = float(found[3])
    return AccuracyBudget(text, found[1], Bounds(min=value) if found[2] == ">=" else Bounds(max=value))


def _positive(number: str, text: str) -> float:
    if float(number) <= 0:
        raise UsageError("--budget needs more than nothing", got=repr(text), expected=EXPECTED)
    return float(number)
