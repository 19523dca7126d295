"""The gate's verdicts as a table for people."""

from rich.table import Table

from toolkit.cli import terminal
from toolkit.gate import GateReport, Verdict, describe

TIMES_100 = ("spearman", "accuracy", "macro_f1", "label_flips")
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
    made = terminal.table("metric", ">fp32", ">int8", "limit", "", "", title=where)
    for verdict in report.verdicts:
        made.add_row(
            verdict.metric + (" x100" if verdict.metric in TIMES_100 else ""),
            _number(verdict, verdict.fp32),
            _number(verdict, verdict.int8),
            describe(verdict.limit, 100 if verdict.metric in TIMES_100 else 1),
            MARKS[verdict.outcome],
            verdict.note,
        )
    return made


def _number(verdict: Verdict, value: float | None) -> str:
    if value is None:
        return ""
    if verdict.metric in TIMES_100:
        return f"{100 * value:.2f}"
    return f"{value:.0f}" if verdict.metric == "non_finite_rows" else f"{value:.4f}"
