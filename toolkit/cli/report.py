"""The gate's verdicts as a table for people."""

from rich.table import Table

from toolkit.cli import terminal
from toolkit.gate import GateReport, Verdict, describe

DECISION_HELP = (
    "pass if the whole confidence interval keeps to the limits, or if the value does (default: the recipe's)"
)
TIMES_100 = ("spearman", "accuracy", "macro_f1", "entity_f1", "label_flips")
MARKS = {
    "pass": "[green]pass[/]",
    "fail": "[bold red]FAIL[/]",
    "undecided": "[bold yellow]UNDECIDED[/]",
    "not measured": "[yellow]not measured[/]",
    "no limit": "",
}


def gate_table(report: GateReport, title: str) -> Table:
    """Return one row a metric; values and limits of ``TIMES_100`` are shown x100."""
    where = f"{title}, judged on {report.rows} rows of {report.dataset}"
    level = next((100 * verdict.interval.level for verdict in report.verdicts if verdict.interval), None)
    interval = "" if level is None else f"{level:g} % interval"
    made = terminal.table("metric", ">fp32", ">int8", interval, "limit", "", "", title=where)
    for verdict in report.verdicts:
        times = 100 if verdict.metric in TIMES_100 else 1
        made.add_row(
            verdict.metric + (" x100" if times == 100 else ""),
            _number(verdict, verdict.fp32),
            _number(verdict, verdict.int8),
            _interval(verdict, times),
            describe(verdict.limit, times),
            MARKS[verdict.outcome],
            verdict.note,
        )
    return made


def _interval(verdict: Verdict, times: int) -> str:
    """Return the interval of the change from fp32 with its signs, or of the value."""
    if verdict.interval is None:
        return ""
    low, high = times * verdict.interval.low, times * verdict.interval.high
    if verdict.fp32 is not None:
        return f"{low:+.2f} to {high:+.2f}" if times == 100 else f"{low:+.4f} to {high:+.4f}"
    return f"{low:.2f} to {high:.2f}" if times == 100 else f"{low:.4f} to {high:.4f}"


def _number(verdict: Verdict, value: float | None) -> str:
    if value is None:
        return ""
    if verdict.metric in TIMES_100:
        return f"{100 * value:.2f}"
    return f"{value:.0f}" if verdict.metric == "non_finite_rows" else f"{value:.4f}"
