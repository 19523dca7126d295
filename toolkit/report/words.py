"""What a report says in words and rounded numbers: one home for all forms that people read."""

from dataclasses import dataclass
from typing import Literal

from toolkit.gate import GateReport, Interval, Outcome, Slice, Trend, Verdict, describe

State = Literal["pass", "fail", "undecided"]
TIMES_100 = ("spearman", "accuracy", "macro_f1", "entity_f1", "label_flips")
COUNTS = ("non_finite_rows", "distinct_outputs", "other_tokens")
_BOOKKEEPING = (*COUNTS, "size_ratio")
STATES = {"pass": "passed", "fail": "failed", "undecided": "cannot decide"}
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
MARKS = {"pass": "✓", "fail": "✗", "undecided": "?", "not measured": DASH, "no limit": ""}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, said in a sentence."""

    group: Literal["gate", "baseline"]
    name: str
    outcome: Outcome
    sentence: str


def checks(report: GateReport) -> list[Check]:
    """Return everything that was looked at: the verdicts, then the metrics against the baseline."""
    return [
        *(Check("gate", item.metric, item.outcome, sentence(item)) for item in report.verdicts),
        *(Check("baseline", item.metric, item.outcome, moved(item)) for item in report.trend),
    ]


def state(report: GateReport) -> State:
    """Return what the gate as a whole says."""
    outcomes = {check.outcome for check in checks(report)}
    return "fail" if "fail" in outcomes else "undecided" if "undecided" in outcomes else "pass"


def name(metric: str) -> str:
    """Return a metric's name with the factor it is shown by; of a model of arrays, ``metric of OUTPUT``."""
    kind, of, output = metric.partition(" of ")
    return f"{kind} x100{of}{output}" if kind in TIMES_100 else metric


def number(metric: str, value: float | None) -> str:
    """Return a metric's value as it is shown; nothing for None."""
    if value is None:
        return ""
    if metric.partition(" of ")[0] in TIMES_100:
        return f"{100 * value:.2f}"
    return f"{value:.0f}" if metric in COUNTS else f"{value:.4f}"


def signed(metric: str, value: float) -> str:
    """Return a difference with its sign, a real minus for a negative one."""
    shown = number(metric, abs(value))
    if not float(shown):
        return shown
    return (MINUS if value < 0 else "+") + shown


def difference(verdict: Verdict) -> float | None:
    """Return int8 - fp32 where both have the metric."""
    return None if verdict.fp32 is None or verdict.int8 is None else verdict.int8 - verdict.fp32


def interval(verdict: Verdict) -> str:
    """Return the interval's two ends, of the difference or of the value; nothing where there is none."""
    found = verdict.interval
    if found is None:
        return ""
    form = number if verdict.fp32 is None else signed
    return f"{form(verdict.metric, found.low)} … {form(verdict.metric, found.high)}"


def level(found: Interval) -> str:
    """Return how sure an interval is."""
    return f"{100 * found.level:g} %"


def limit(verdict: Verdict) -> str:
    """Return a verdict's limit, by the factor its metric is shown by."""
    return describe(verdict.limit, 100 if verdict.metric.partition(" of ")[0] in TIMES_100 else 1)


def sentence(verdict: Verdict) -> str:
    """Return everything that is known of one metric in one sentence."""
    metric = verdict.metric
    if verdict.int8 is None:
        return f"{name(metric)} was not measured: {verdict.note}" if verdict.note else f"{name(metric)}: not measured"
    said = f"{name(metric)} is {number(metric, verdict.int8)}"
    moved = difference(verdict)
    if moved is not None:
        said += f" against {number(metric, verdict.fp32)} of fp32 ({signed(metric, moved)})"
    if verdict.interval is not None:
        what = "value" if verdict.fp32 is None else "difference"
        said += f", {level(verdict.interval)} interval of the {what} {interval(verdict)}"
    if verdict.limit:
        said += f"; the limit is {limit(verdict)}"
    return f"{said} ({verdict.note})" if verdict.note else said


def headline(report: GateReport) -> str:
    """Return the gate's answer in one sentence."""
    judged = [verdict for verdict in report.verdicts if verdict.limit or verdict.outcome == "fail"]
    if not judged:
        return "No metric has a limit: nothing was judged."
    broken, open_ = (
        [item.metric for item in report.verdicts if item.outcome == outcome] for outcome in ("fail", "undecided")
    )
    worse = [item.metric for item in report.trend if item.outcome == "fail"]
    said = [
        f"{len(broken)} of {_count(len(judged), 'limit')} broken: {', '.join(broken)}." if broken else "",
        f"Worse than the baseline: {', '.join(worse)}." if worse else "",
        f"Too few rows to decide: {', '.join(open_)}." if open_ else "",
    ]
    held = "The limit holds." if len(judged) == 1 else f"All {len(judged)} limits hold."
    return " ".join(part for part in said if part) or held


def _count(how_many: int, what: str) -> str:
    return f"{how_many} {what}" + ("" if how_many == 1 else "s")


def megabytes(size: int) -> str:
    """Return bytes as MB (10^6), or kB where that is less than one; a dash for none at all."""
    if not size:
        return DASH
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def moved(trend: Trend) -> str:
    """Return how a metric stands against the baseline in one sentence."""
    metric = trend.metric
    change = signed(metric, trend.now - trend.previous)
    return f"{name(metric)} was {number(metric, trend.previous)} and is {number(metric, trend.now)} ({change})"


def pair(metric: str, part: Slice) -> str:
    """Return fp32's and int8's value of one slice."""
    both = [number(metric, values.get(metric)) for values in (part.fp32, part.metrics)]
    return " → ".join(value for value in both if value) or DASH


def slice_metrics(report: GateReport) -> list[str]:
    """Return every metric that a slice has, in their order."""
    return list(dict.fromkeys(metric for part in report.slices for metric in part.metrics))


def main_metrics(report: GateReport) -> list[Verdict]:
    """Return the one or two that matter most: the first that was measured of those of the task, and of closeness."""
    measured = [item for item in report.verdicts if item.int8 is not None and item.metric not in _BOOKKEEPING]
    task = next((item for item in measured if item.fp32 is not None), None)
    close = next((item for item in measured if item.fp32 is None), None)
    return [item for item in (task, close) if item is not None]
