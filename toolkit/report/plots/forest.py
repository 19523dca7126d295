"""Every limit on one scale: the share of the loss it allows that int8 uses up. 0 % is fp32 itself, 100 % the limit.

So a Spearman that may drop by 0.3 points and a cosine that may fall to .992 can be looked at together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.gate import GateReport, Trend, Verdict
from toolkit.report import words
from toolkit.report.plots.svg import Figure, Scale, anchor

ROW, AXIS = 52, 34
# Of metrics that compare the two models: what an int8 model would have that is fp32 itself, as _linear has it.
_BEST = {"sqnr_db": 0.0} | dict.fromkeys(("cosine_mean", "cosine_p1", "cosine_min", "score_correlation"), 1.0)


@dataclass(frozen=True)
class Used:
    """How much of its limit a metric uses up: 0 as good as fp32, 1 at the limit."""

    verdict: Verdict
    share: float
    low: float | None  # ends of the interval, where there is one
    high: float | None
    before: float | None  # the baseline's


def used(report: GateReport) -> tuple[Used, ...]:
    """Return every metric whose limit allows some loss."""
    earlier = {item.metric: item for item in report.trend}
    return tuple(found for item in report.verdicts if (found := _used(item, earlier.get(item.metric))) is not None)


def forest(found: Sequence[Used]) -> Figure:
    """Draw one row a metric: its value with the interval, against the limit that all of them share."""
    least = min((value for item in found for value in _values(item)), default=0.0)
    most = max((value for item in found for value in _values(item)), default=1.0)
    scale = Scale(max(min(-0.12, least - 0.05), -0.6), min(max(1.25, most + 0.05), 2.2))
    title = "Share of the allowed loss that int8 uses"
    said = "; ".join(f"{words.name(item.verdict.metric)} {100 * item.share:.0f} %" for item in found)
    figure = Figure("forest", ROW * len(found) + AXIS, title, f"0 % is fp32, 100 % is the limit. {said}.")
    bottom = ROW * len(found)
    limit = scale.at(1)
    for row in range(len(found)):
        top = ROW * row + 24
        figure.box((0, top), (limit, 18), "allowed")
        figure.box((limit, top), (100 - limit, 18), "beyond")
        figure.line((scale.at(0), top), (scale.at(0), top + 18), "zero")
        figure.line((limit, top - 3), (limit, top + 21), "limit")
    for row, item in enumerate(found):
        _row(figure, item, scale, ROW * row)
    for value, label in ((0.0, "as fp32"), (0.5, "50 %"), (1.0, "limit"), (1.5, "150 %"), (2.0, "200 %")):
        if scale.low <= value <= scale.high:
            x = scale.at(value)
            figure.words((x, bottom + 18), label, "tick", anchor(x))
    return figure


def _row(figure: Figure, item: Used, scale: Scale, top: float) -> None:
    verdict, middle = item.verdict, top + 33
    figure.words((0, top + 16), words.name(verdict.metric), "label")
    figure.words((100, top + 16), f"{100 * item.share:.0f} % of the loss allowed", "label value", "end")
    if item.low is not None and item.high is not None:
        low, high = scale.at(item.low), scale.at(item.high)
        figure.line((low, middle), (high, middle), f"whisker {_look(verdict)}")
        for end in (low, high):
            figure.line((end, middle - 5), (end, middle + 5), f"whisker {_look(verdict)}")
    if item.before is not None:
        figure.dot((scale.at(item.before), middle), 8, "before", f"baseline: {100 * item.before:.0f} %")
    figure.dot((scale.at(item.share), middle), 6, f"point {_look(verdict)}", words.sentence(verdict))


def _look(verdict: Verdict) -> str:
    return verdict.outcome.replace(" ", "-")


def _values(item: Used) -> list[float]:
    return [value for value in (item.share, item.low, item.high, item.before) if value is not None]


def _used(verdict: Verdict, trend: Trend | None) -> Used | None:
    ends = _ends(verdict)
    if verdict.int8 is None or ends is None:
        return None
    best, worst = ends

    def share(value: float) -> float:
        return (best - _linear(verdict.metric, value)) / (best - worst)

    interval = None
    if verdict.interval is not None:
        base = verdict.fp32 or 0.0
        interval = sorted(share(base + end) for end in (verdict.interval.low, verdict.interval.high))
    return Used(
        verdict,
        share(verdict.int8),
        None if interval is None else interval[0],
        None if interval is None else interval[1],
        None if trend is None else share(trend.previous),
    )


def _ends(verdict: Verdict) -> tuple[float, float] | None:
    """Return the value of a perfect int8 model and the worst one that the limit lets pass.

    None where there is no such room: no limit, a metric of no accuracy, or a limit that fp32 itself breaks.
    """
    bounds, metric = verdict.limit, verdict.metric
    if metric in (*words.COUNTS, "size_ratio"):
        return None
    if verdict.fp32 is None and "max" in bounds:
        return (0.0, bounds["max"]) if bounds["max"] > 0 else None
    best, floor = _BEST.get(metric) if verdict.fp32 is None else verdict.fp32, _floor(verdict)
    return None if best is None or floor is None or floor >= best else (best, floor)


def _floor(verdict: Verdict) -> float | None:
    """Return the least value that the limit lets pass."""
    bounds, fp32 = verdict.limit, verdict.fp32
    floors = [_linear(verdict.metric, bounds["min"])] if "min" in bounds else []
    if fp32 is not None:
        floors += [fp32 - bounds["max_drop"]] if "max_drop" in bounds else []
        floors += [fp32 * bounds["min_ratio"]] if "min_ratio" in bounds else []
    return max(floors, default=None)


def _linear(metric: str, value: float) -> float:
    """Return decibels of signal to noise as noise power, below zero so that more is better; the rest as it is."""
    return -(10 ** (-value / 10)) if metric == "sqnr_db" else value
