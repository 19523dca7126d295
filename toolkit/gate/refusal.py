"""A report that did not pass, as the error that ends a command with exit status 3."""

from collections.abc import Callable
from pathlib import Path

from toolkit.errors import GateError
from toolkit.gate.report import GateReport, Verdict
from toolkit.gate.verdicts import describe

WRONG = {
    "non_finite_rows": "the int8 model's output is not finite",
    "distinct_outputs": "the int8 model gives one output for every text",
    "other_tokens": "the two models do not read the same tokens",
}
"""What is worse than inaccurate, by the verdict that says so."""

MORE_ROWS = "give more rows to judge by (--eval), or judge by the values alone (--decision point)"


def refusal(report: GateReport, where: str, so: str, hint: str) -> GateError:
    """Return the error of a report that did not pass; ``so`` ends its first line, ``hint`` is for what is too bad."""
    failed = [verdict for verdict in report.verdicts if verdict.outcome == "fail"]
    worse = [trend for trend in report.trend if trend.outcome == "fail"]
    undecided = [verdict for verdict in report.verdicts if verdict.outcome == "undecided"]
    if failed:
        what = WRONG.get(failed[0].metric, "the int8 model is not accurate enough")
        got = ", ".join(f"{verdict.metric} {verdict.int8:g} ({verdict.note})" for verdict in failed)
        return GateError(what + so, where=where, got=got, expected=_limits(failed), hint=hint)
    if worse:
        got = ", ".join(f"{trend.metric} {trend.now:g}" for trend in worse)
        expected = ", ".join(f"{trend.metric} {trend.previous:g} as before" for trend in worse)
        return GateError(f"the int8 model is worse than the one before{so}", where=where, got=got, expected=expected)
    what = f"the evaluation data do not decide whether the int8 model is accurate enough{so}"
    got = ", ".join(f"{verdict.metric}: {verdict.note}" for verdict in undecided)
    return GateError(what, where=where, got=got, expected=_limits(undecided), hint=MORE_ROWS)


def unwritten(
    report: GateReport, where: str, out: Path, hint: str, keep: Callable[[Path], None] | None = None
) -> GateError:
    """Return the error of a model of which no bundle is written under ``out``.

    ``keep`` writes a bundle into a folder: it is then kept as ``OUT.rejected``, and the hint says so.
    """
    if keep is not None:
        rejected = out.with_name(f"{out.name}.rejected")
        keep(rejected)
        hint = f"the rejected bundle is {rejected}"
    return refusal(report, f"{where} on {report.dataset}", ", so no bundle was written", hint)


def _limits(verdicts: list[Verdict]) -> str:
    return ", ".join(f"{verdict.metric} {describe(verdict.limit)}" for verdict in verdicts)
