"""One unit, in a process of its own: up to date, or opened, quantized, judged and written."""

import ctypes
import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import TypeVar

from toolkit import ending
from toolkit.prepare.outcome import Outcome, Result
from toolkit.prepare.stamp import bundle_digest, what_changed, why_not_whole, write_stamp
from toolkit.prepare.units import Unit
from toolkit.prepare.work import work_of
from toolkit.progress import Track
from toolkit.runtime import failures
from toolkit.runtime.bundle import open_bundle

T = TypeVar("T")
_PARENT_DIED = 1  # PR_SET_PDEATHSIG of linux/prctl.h
_PAUSE_S = 0.1  # between two messages of one step


@dataclass(frozen=True)
class Step:
    """A message of a process at work: what it does, how far it is, and how far it has to go."""

    description: str
    at: int
    total: int


@dataclass(frozen=True)
class Mode:
    """How a unit is done: ``dry`` only tells, ``force`` builds what is up to date too."""

    dry: bool = False
    force: bool = False


def work(unit: Unit, mode: Mode, messages: Connection, parent: int) -> None:
    """Do one unit and send its steps, then its Outcome: the whole life of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle: it ends its processes
    ending.unwind_on_sigterm()
    ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGTERM)
    if os.getppid() != parent:
        return  # it died before that was set
    try:
        outcome = attempt(unit, mode, _sender(messages))
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        messages.send(replace(outcome, peak_bytes=peak))
    except BrokenPipeError:
        return


def attempt(unit: Unit, mode: Mode, track: Track) -> Outcome:
    """Return the unit's outcome, whatever happens to it."""
    try:
        return do(unit, mode, track)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of a process
        return _outcome(unit, "failed", str(failures.explain(error)))


def do(unit: Unit, mode: Mode, track: Track) -> Outcome:
    """Return the unit's outcome; raises what its stages raise."""
    work = work_of(unit)
    why = "forced" if mode.force else what_changed(unit.out, work.stamp) or why_not_whole(unit.out)
    if not why:
        return _standing(unit, "up to date", "nothing changed")
    if mode.dry:
        return _outcome(unit, "to build", why, work.task)
    report, refusal = work.make(track)
    if refusal:
        return _outcome(unit, "gate failed", str(refusal), work.task, report.summary())
    write_stamp(unit.out, work.stamp, bundle_digest(unit.out))
    return _standing(unit, "built", why)


def _standing(unit: Unit, result: Result, why: str) -> Outcome:
    manifest = open_bundle(unit.out).manifest
    return Outcome(unit.name, unit.recipe.name, result, why, unit.out, manifest.task, manifest.gate)


def _outcome(
    unit: Unit, result: Result, why: str, task: str | None = None, gate: dict[str, object] | None = None
) -> Outcome:
    return Outcome(unit.name, unit.recipe.name, result, why, task=task, gate=gate)


def _sender(messages: Connection) -> Track:
    def track(items: Iterable[T], description: str, total: int, /) -> Iterator[T]:
        messages.send(Step(description, 0, total))
        sent = time.monotonic()
        for number, item in enumerate(items, 1):
            yield item
            if time.monotonic() - sent > _PAUSE_S:
                messages.send(Step(description, number, total))
                sent = time.monotonic()

    return track
