"""Tables on stdout, progress on stderr; colours and bars only where a person looks."""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

T = TypeVar("T")


def out() -> Console:
    """Return the console of stdout."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """Return the console of stderr."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def print_json(value: object) -> None:
    """Print a report for machines."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table in the one style; a column whose name starts with ``>`` is right-aligned."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        made.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return made


def print_table(made: Table) -> None:
    """Print a table to stdout: as wide as it needs where no terminal cuts it."""
    console = out()
    if not sys.stdout.isatty():
        console.width = 200
    console.print(made)


def track(items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
    """Yield the items and show a bar on stderr: a ``toolkit.progress.Track``. Without a terminal, one line a step."""
    if not sys.stderr.isatty():
        print(description, file=sys.stderr)
        return items
    return _bar(items, description, total)


def _bar(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    columns: list[Any] = [
        TextColumn("{task.description:22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=err()) as progress:
        yield from progress.track(items, total=total, description=description)
