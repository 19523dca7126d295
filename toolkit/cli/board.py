"""Progress of several at once on stderr: a row each on a terminal, else a line for each step."""

import sys
from collections.abc import Iterable
from typing import Self, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from toolkit.cli import terminal
from toolkit.prepare import Outcome
from toolkit.prepare.building import Step

T = TypeVar("T")


class Board:
    """Shows what each unit does; used as a context, and called with every step and outcome."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._rows: dict[str, TaskID] = {}
        self._steps: dict[str, str] = {}
        self._progress = Progress(*columns, console=terminal.err()) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def __call__(self, title: str, what: Step | Outcome) -> None:
        """Take note of one message of a unit."""
        if isinstance(what, Outcome):
            self._end(title, f"{title}: {what.result} ({what.seconds:.0f} s)")
        elif self._progress:
            row = self._rows.setdefault(title, TaskID(-1))
            if row == -1:
                row = self._rows[title] = self._progress.add_task(title)
            said = f"{title}: {what.description}"
            self._progress.update(row, description=said, completed=what.at, total=what.total)
        elif self._steps.get(title) != what.description:
            self._say(f"{title}: {what.description}")
        if isinstance(what, Step):
            self._steps[title] = what.description

    def track(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
        """Show what is done by one at a time: a ``toolkit.progress.Track``."""
        if self._progress:
            return self._progress.track(items, total=total, description=description)
        self._say(description)
        return items

    def _end(self, title: str, line: str) -> None:
        if self._progress and title in self._rows:
            self._progress.remove_task(self._rows.pop(title))
        self._say(line)

    def _say(self, line: str) -> None:
        if self._progress:
            self._progress.console.print(line, markup=False)
        else:
            print(line, file=sys.stderr)
