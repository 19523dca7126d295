"""A report against an earlier one on the same rows: which metrics have become worse."""

from dataclasses import replace

from toolkit.errors import UsageError
from toolkit.gate.report import GateReport, Outcome, Trend, Verdict

PART_OF_ROOM = 0.25
"""How much of the room that was left to a limit a release may use up."""


def against(report: GateReport, previous: GateReport) -> GateReport:
    """Return the report with its trend; UsageError where the earlier one was on other rows, or of another task.

    A metric with a limit fails where it is worse than before by more than the noise of the rows (the earlier value
    lies beyond the better end of the interval) and by more than ``PART_OF_ROOM`` of the room to the limit. Both
    values were measured on the same rows, so fp32's value shifts the interval of int8 - fp32 to int8's own.
    """
    for what, got, expected in (
        ("for another task", previous.task, report.task),
        ("on other rows", f"{previous.dataset}, sha256 {_short(previous)}", f"{report.dataset}, {_short(report)}"),
    ):
        if got.split()[-1] != expected.split()[-1]:
            hint = "give a report of the same evaluation set (--eval, --eval-samples)"
            raise UsageError(f"the earlier report is {what}", got=got, expected=expected, hint=hint)
    before = {verdict.metric: verdict.int8 for verdict in previous.verdicts}
    trend = tuple(
        Trend(now.metric, was, now.int8, _outcome(now, was, now.int8))
        for now in report.verdicts
        if now.int8 is not None and (was := before.get(now.metric)) is not None
    )
    return replace(report, trend=trend)


def _outcome(now: Verdict, was: float, value: float) -> Outcome:
    if not now.limit:
        return "no limit"
    lower_is_better = "max" in now.limit
    worse_by = value - was if lower_is_better else was - value
    allowed = max(_noise(now, value, lower_is_better=lower_is_better), PART_OF_ROOM * _room(now, was))
    return "fail" if worse_by > allowed else "pass"


def _noise(now: Verdict, value: float, *, lower_is_better: bool) -> float:
    """Return how far the better end of int8's interval is from its value."""
    if now.interval is None:
        return 0.0
    base = now.fp32 or 0.0
    return value - (base + now.interval.low) if lower_is_better else base + now.interval.high - value


def _room(now: Verdict, was: float) -> float:
    """Return how far the earlier value was from the nearest bound."""
    bounds = {"min": was - now.limit.get("min", 0), "max": now.limit.get("max", 0) - was}
    if now.fp32 is not None:
        bounds["max_drop"] = was - (now.fp32 - now.limit.get("max_drop", 0))
        bounds["min_ratio"] = was - now.fp32 * now.limit.get("min_ratio", 0)
    return max(0.0, min(bounds[name] for name in now.limit))


def _short(report: GateReport) -> str:
    return report.dataset_digest[:12]
