"""A report that did not pass, as the error that ends a command with exit status 3."""

from toolkit.errors import GateError
from toolkit.gate.report import GateReport, Verdict
from toolkit.gate.verdicts import describe

MORE_ROWS = "give more rows to judge by (--eval), or judge by the values alone (--decision point)"


def refusal(report: GateReport, where: str, so: str, hint: str) -> GateError:
    """Return the error of a report that did not pass; ``so`` ends its first line, ``hint`` is for what is too bad."""
    failed = [verdict for verdict in report.verdicts if verdict.outcome == "fail"]
    worse = [trend for trend in report.trend if trend.outcome == "fail"]
    undecided = [verdict for verdict in report.verdicts if verdict.outcome == "undecided"]
    if failed:
        broken = failed[0].metric == "non_finite_rows"
        what = "the int8 model's output is not finite" if broken else "the int8 model is not accurate enough"
        return GateError(
            what + so, where=where, got=", ".join(map(_reached, failed)), expected=_limits(failed), hint=hint
        )
    if worse:
        got = ", ".join(f"{trend.metric} {trend.now:g}" for trend in worse)
        expected = ", ".join(f"{trend.metric} {trend.previous:g} as before" for trend in worse)
        return GateError(f"the int8 model is worse than the one before{so}", where=where, got=got, expected=expected)
    what = f"the evaluation data do not decide whether the int8 model is accurate enough{so}"
    got = ", ".join(f"{verdict.metric}: {verdict.note}" for verdict in undecided)
    return GateError(what, where=where, got=got, expected=_limits(undecided), hint=MORE_ROWS)


def _reached(verdict: Verdict) -> str:
    why = f" ({verdict.note})" if verdict.note and verdict.note.split()[0] not in ("is", "drops") else ""
    return f"{verdict.metric} {verdict.int8:g}{why}"


def _limits(verdicts: list[Verdict]) -> str:
    return ", ".join(f"{verdict.metric} {describe(verdict.limit)}" for verdict in verdicts)
