"""A comparison for people: a table in the terminal or in Markdown."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.table import Table

from toolkit.cli import terminal
from toolkit.cli.doctor import diagnose
from toolkit.compare import Comparison, Row
from toolkit.compare.measuring import ROUNDS
from toolkit.report import words


def conditions(found: Comparison) -> dict[str, str]:
    """Return what the figures hold for."""
    here = diagnose()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": f"{here.cpu} ({here.architecture}: {', '.join(here.features)}); kernels: {found.kernels}",
        "versions": ", ".join(f"{name} {version}" for name, version in here.versions.items()),
        "model": f"{found.model} for {found.target}; float graph {found.float_graph}",
        "data": f"calibrated on {found.calibration}, judged on {found.dataset}",
        "time": f"CPU time of one thread, medians of {ROUNDS} rounds, all models in turn; x is over fp32",
        "build": "seconds and peak memory of the process that builds; edgequant's contains its gate",
    }


def table(found: Comparison) -> Table:
    """Return one row an engine."""
    first, *rest = _head(found)
    title = f"{found.model} for {found.target}, {found.dataset}, float graph {found.float_graph}"
    made = terminal.table(first, *(f">{name}" for name in rest), title=title)
    for row in found.rows:
        made.add_row(*_cells(found, row))
    return made


def lines(found: Comparison) -> Iterator[str]:
    """Yield what does not fit into the table: what each row is, and why one is empty."""
    rows = {(row.engine, row.status): row for row in found.rows}  # one of those that differ in their settings
    for row in rows.values():
        told = {"ran": row.by, "not installed": f"not installed: {row.note}", "failed": f"FAILED: {row.note}"}
        if row.status != "ran" or row.by:
            yield f"{row.engine}: {row.what}. {told[row.status]}"


def markdown(found: Comparison) -> Iterator[str]:
    """Yield the table's lines, then those below it."""
    head = _head(found)
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in found.rows:
        yield f"| {' | '.join(_cells(found, row))} |"
    yield ""
    yield from (f"- {line}" for line in lines(found))


def _head(found: Comparison) -> tuple[str, ...]:
    shapes = " ".join(f"{pace.batch}x{pace.length}" for pace in found.rows[0].paces)
    quality = (*map(words.name, _metrics(found)), "cosine mean / p1 / min", "batch")
    return ("engine", "MB", *quality, "ms", f"x at {shapes}", "build s", "build MB", "run MB")


def _metrics(found: Comparison) -> tuple[str, ...]:
    quality = found.rows[0].quality
    return () if quality is None else tuple(quality.metrics)


def _cells(found: Comparison, row: Row) -> tuple[str, ...]:
    name = f"{row.engine}, {row.note}" if row.status == "ran" and row.note else row.engine
    quality = row.quality
    if quality is None:
        return (name, row.status, *[""] * (len(_head(found)) - 2))
    alike = quality.cosines
    return (
        name,
        _number(row.bytes, 1e6, 1),
        *(words.number(metric, quality.metrics.get(metric)) for metric in _metrics(found)),
        "" if alike is None else f"{alike.mean:.4f} / {alike.p1:.4f} / {alike.min:.4f}",
        f"{quality.batch_difference:.1g}",
        " ".join(f"{pace.ms:.2f}" for pace in row.paces),
        " ".join(f"{pace.ratio:.2f}" for pace in row.paces),
        _number(row.build_seconds, 1, 0),
        _number(row.build_peak_bytes, 1e6, 0),
        _number(row.run_peak_bytes, 1e6, 0),
    )


def _number(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value / unit:.{digits}f}"
