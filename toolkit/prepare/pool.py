"""Units in processes at the same time: no more than there are cores, nor than memory holds."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from toolkit.prepare.building import Mode, Step, work
from toolkit.prepare.memory import needed_memory
from toolkit.prepare.outcome import Outcome
from toolkit.prepare.units import Unit

Listener = Callable[[str, Step | Outcome], None]
"""Is told of every step and outcome, with the unit's title."""
_PATIENCE_S = 20.0  # for processes that are told to end


@dataclass(frozen=True)
class Room:
    """How many processes may run at once, on how many cores, in how many bytes of memory; None where it is unknown."""

    processes: int
    cores: int
    memory: int | None


@dataclass
class _Running:
    unit: Unit
    process: SpawnProcess
    messages: Connection
    started: float
    needs: int


def run_units(units: Sequence[Unit], mode: Mode, room: Room, listener: Listener) -> list[Outcome]:
    """Do the units and return their outcomes in the order given; what fails does not stop the others.

    The unit that needs most starts first. One always runs, whatever it needs: the estimate may be too high.
    """
    waiting = sorted(units, key=lambda unit: -needed_memory(Path(unit.model)))
    running: list[_Running] = []
    outcomes: dict[str, Outcome] = {}
    with _ended(running):
        while waiting or running:
            for unit in _fitting(waiting, running, room):
                waiting.remove(unit)
                running.append(_start(unit, mode))
            for one in _heard(running, listener, outcomes):
                running.remove(one)
    return [outcomes[unit.title] for unit in units]


def _fitting(waiting: Sequence[Unit], running: Sequence[_Running], room: Room) -> list[Unit]:
    """Return the next units to start: the largest that fits beside those that run."""
    taken, count, chosen = sum(one.needs for one in running), len(running), []
    for unit in waiting:
        needs = needed_memory(Path(unit.model))
        fits = room.memory is None or taken + needs <= room.memory
        if count < room.processes and (fits or count == 0):
            chosen.append(unit)
            taken, count = taken + needs, count + 1
    return chosen


def _start(unit: Unit, mode: Mode) -> _Running:
    context = get_context("spawn")  # a fork of a process with threads may hang
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(unit, mode, theirs, os.getpid()), daemon=True)
    process.start()
    theirs.close()  # so that its end is heard
    return _Running(unit, process, ours, time.monotonic(), needed_memory(Path(unit.model)))


def _heard(running: Sequence[_Running], listener: Listener, outcomes: dict[str, Outcome]) -> list[_Running]:
    """Wait for messages, tell them, and return those that are done."""
    done = []
    by_connection = {one.messages: one for one in running}
    for ready in connection.wait(list(by_connection)):
        one = by_connection[ready]  # type: ignore[index]
        try:
            message = one.messages.recv()
        except EOFError:
            one.process.join()
            message = _died(one)
        if isinstance(message, Outcome):
            message = replace(message, seconds=time.monotonic() - one.started)
            outcomes[one.unit.title] = message
            done.append(one)
            one.process.join()
        listener(one.unit.title, message)
    return done


def _died(one: _Running) -> Outcome:
    code = one.process.exitcode or 0
    ended = f"by signal {-code}" if code < 0 else f"with exit status {code}"
    why = f"its process ended {ended}"
    hint = "; was it short of memory? --jobs 1 needs least" if code == -9 else ""
    return Outcome(one.unit.name, one.unit.recipe.name, "failed", why + hint)


@contextmanager
def _ended(running: Sequence[_Running]) -> Iterator[None]:
    """End the processes that still run when the block ends, as it does by a signal."""
    try:
        yield
    finally:
        for one in running:
            one.process.terminate()
        deadline = time.monotonic() + _PATIENCE_S
        for one in running:
            one.process.join(max(0.0, deadline - time.monotonic()))
            one.process.kill()
            one.messages.close()
