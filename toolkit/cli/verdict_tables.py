"""The gate's verdicts as a table for people."""

from rich.table import Table

from toolkit.cli import terminal
from toolkit.gate import GateReport
from toolkit.report import words

MARKS = {
    "pass": "[green]pass[/]",
    "fail": "[bold red]FAIL[/]",
    "undecided": "[bold yellow]UNDECIDED[/]",
    "not measured": "[yellow]not measured[/]",
    "no limit": "",
}


def gate_table(report: GateReport, title: str, precision: str = "int8") -> Table:
    """Return one row a metric."""
    ran = "this CPU" if report.place is None else f"{report.place.isa} ({report.place.how})"
    where = f"{title}, judged on {report.rows} rows of {report.dataset}, {precision} on {ran}"
    level = next((100 * verdict.interval.level for verdict in report.verdicts if verdict.interval), None)
    interval = "" if level is None else f"{level:g} % interval"
    made = terminal.table("metric", ">fp32", f">{precision}", interval, "limit", "", "", title=where)
    for verdict in report.verdicts:
        made.add_row(
            words.name(verdict.metric),
            words.number(verdict.metric, verdict.fp32),
            words.number(verdict.metric, verdict.int8),
            words.interval(verdict),
            words.limit(verdict),
            MARKS[verdict.outcome],
            verdict.note,
        )
    return made


def trend_table(report: GateReport, against: str) -> Table:
    """Return one row a metric that an earlier report has too."""
    made = terminal.table("metric", ">before", ">now", "", title=f"against {against}")
    for trend in report.trend:
        values = (words.number(trend.metric, value) for value in (trend.previous, trend.now))
        made.add_row(words.name(trend.metric), *values, MARKS[trend.outcome])
    return made
