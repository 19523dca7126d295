"""The report as GitHub-flavoured markdown, for a step summary or a merge request's comment.

GitHub takes at most 1 MiB a step: examples are few and cut. Everything that is not ours is escaped.
"""

import re
from collections.abc import Iterable, Sequence

from toolkit.gate import Example, GateReport, Verdict
from toolkit.report import words
from toolkit.report.page import Page
from toolkit.report.text import clean, shortened

EXAMPLES, LENGTH = 10, 300
SIGNS = {"pass": "✅", "fail": "❌", "undecided": "❓", "not measured": "⚪", "no limit": ""}


def markdown(page: Page) -> str:
    """Return the summary: the answer, the table of verdicts, then slices, baseline and worst examples."""
    report = page.report
    state = words.state(report)
    parts = [
        f"## {SIGNS[state]} {escaped(page.title)}: the gate {words.STATES[state]}",
        f"{escaped(words.headline(report))} Judged on {report.rows} rows of {escaped(report.dataset)}{_place(report)}.",
        _verdicts(report.verdicts),
        *_facts(page),
        *_mixed(page.mixed),
        *_baseline(report),
        *_slices(report),
        *_worst(report.worst),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Return any text as markdown that shows just that, on one line, in a table too."""
    one_line = " ".join(clean(text).split())
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "&#64;<wbr>")):
        one_line = one_line.replace(sign, entity)
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", one_line)


def _place(report: GateReport) -> str:
    if report.place is None:
        return ""
    return f", on {escaped(report.place.isa)} ({escaped(report.place.how)})"


def _verdicts(verdicts: Iterable[Verdict]) -> str:
    rows = [
        (
            escaped(words.name(verdict.metric)),
            words.number(verdict.metric, verdict.fp32),
            words.number(verdict.metric, verdict.int8),
            words.interval(verdict),
            escaped(words.limit(verdict)),
            f"{SIGNS[verdict.outcome]} {verdict.outcome}".strip(),
            escaped(verdict.note),
        )
        for verdict in verdicts
    ]
    columns = ("metric", ">fp32", ">int8", f">interval of int8 {words.MINUS} fp32, or of int8", "limit", "", "note")
    return _table(columns, rows)


def _facts(page: Page) -> list[str]:
    sizes = page.report.sizes
    facts = [f"**Size** {words.megabytes(sizes.fp32)} → {words.megabytes(sizes.int8)}"]
    if page.speeds:
        shown = ", ".join(f"{item.ratio:.2f}x at {item.batch}x{item.length}" for item in page.speeds)
        facts.append(f"**Speed-up** {shown} (batch x tokens; CPU time of one thread, where the gate ran)")
    return ["  \n".join(facts)]


def _mixed(sentences: Sequence[str]) -> list[str]:
    return [_details("Mixed precision", "  \n".join(map(escaped, sentences)))] if sentences else []


def _baseline(report: GateReport) -> list[str]:
    rows = [
        (
            escaped(words.name(item.metric)),
            words.number(item.metric, item.previous),
            words.number(item.metric, item.now),
            words.signed(item.metric, item.now - item.previous),
            f"{SIGNS[item.outcome]} {item.outcome}".strip(),
        )
        for item in report.trend
    ]
    return ["### Against the baseline", _table(("metric", ">before", ">now", ">change", ""), rows)] if rows else []


def _slices(report: GateReport) -> list[str]:
    if not report.slices:
        return []
    metrics = words.slice_metrics(report)
    rows = [
        (escaped(part.name), str(part.rows), *(words.pair(metric, part) for metric in metrics))
        for part in report.slices
    ]
    columns = ("tokens", ">rows", *(f">{escaped(words.name(metric))}" for metric in metrics))
    return [_details("By length (fp32 → int8 where both have the metric)", _table(columns, rows))]


def _worst(worst: Sequence[Example]) -> list[str]:
    if not worst:
        return []
    shown = worst[:EXAMPLES]
    rows = [(_text(item), escaped(item.fp32), escaped(item.int8), f"{item.distance:.4g}") for item in shown]
    title = f"The {len(shown)} rows on which int8 and fp32 differ most" if len(shown) > 1 else "The worst row"
    return [_details(title, _table(("text", "fp32", "int8", ">distance"), rows))]


def _text(example: Example) -> str:
    texts = [example.text] if example.text2 is None else [example.text, example.text2]
    return "<br>".join(escaped(shortened(text, LENGTH)) or "*(empty)*" for text in texts)


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a column whose name starts with ``>`` is right-aligned."""
    head = " | ".join(column.removeprefix(">") for column in columns)
    rule = " | ".join("---:" if column.startswith(">") else "---" for column in columns)
    return "\n".join([f"| {head} |", f"| {rule} |", *(f"| {' | '.join(row)} |" for row in rows)])
