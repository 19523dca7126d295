"""``prepare``: fetch, build every unit, then the image; what failed is told at the end, not where it failed."""

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.errors import EdgequantError, MissingExtraError, ModelError, UsageError
from toolkit.prepare.building import Mode
from toolkit.prepare.imaging import Parts, image_work, make_image
from toolkit.prepare.outcome import ImageOutcome, Outcome, Report
from toolkit.prepare.pool import Listener, Room, run_units
from toolkit.prepare.stack import Stack
from toolkit.prepare.units import Place, Unit, units
from toolkit.progress import Track
from toolkit.sources import exporter
from toolkit.strict import nearest

LOCK = ".lock"


@dataclass(frozen=True)
class Options:
    """How a stack is prepared; ``only`` are models, all where it is empty."""

    parts: Parts
    room: Room
    mode: Mode = field(default_factory=Mode)
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ears:
    """Who is told of the work: of units at the same time, and of steps one after the other."""

    listener: Listener
    track: Track


def prepare(stack: Stack, found: Place, options: Options, ears: Ears) -> Report:
    """Bring every bundle and the image of a stack up to date.

    Raises RecipeError and UsageError for what is wrong in the stack as a whole, before anything is done; what goes
    wrong with one model is in the report.
    """
    every = units(stack, found)
    image = image_work(stack, found, every, options.parts)
    chosen = _chosen(stack, every, options.only)
    with nullcontext() if options.mode.dry else _alone(found.out):
        models = _models(chosen, options, ears)
        fallbacks = {name: model.fallback_for for name, model in stack.models.items() if model.fallback_for}
        if options.only and image is not None:
            made = ImageOutcome("skipped", "only some models were asked for: run it once more without --only")
        else:
            made = make_image(image, models, fallbacks, options.mode, ears.track)
    return Report(stack.name, found.out, tuple(models), made, fallbacks)


def _chosen(stack: Stack, every: Sequence[Unit], only: Sequence[str]) -> list[Unit]:
    for name in only:
        if name not in stack.models:
            hint = nearest(name, stack.models)
            raise UsageError(
                "--only names no model of the stack", got=name, expected=", ".join(stack.models), hint=hint
            )
    return [unit for unit in every if not only or unit.name in only]


def _models(chosen: Sequence[Unit], options: Options, ears: Ears) -> list[Outcome]:
    """Return the outcome of each unit in the order of the stack; one whose model cannot be had is not tried."""
    ready, missing = _fetched(chosen, options.mode, ears)
    workers = max(1, min(options.room.processes, len(ready)))
    threads = max(1, options.room.cores // workers)
    built = run_units([replace(unit, threads=threads) for unit in ready], options.mode, options.room, ears.listener)
    by_title = {f"{one.model} for {one.target}": one for one in (*built, *missing)}
    return [by_title[unit.title] for unit in chosen]


def _fetched(chosen: Sequence[Unit], mode: Mode, ears: Ears) -> tuple[list[Unit], list[Outcome]]:
    """Return the units whose models are in folders here, and the outcomes of the others."""
    ready: list[Unit] = []
    missing: list[Outcome] = []
    wanted = {(unit.model, unit.revision): None for unit in chosen if not Path(unit.model).is_absolute()}
    fetched = {one: _fetch(*one, mode) for one in ears.track(wanted, "fetch models", len(wanted))} if wanted else {}
    for unit in chosen:
        got = fetched.get((unit.model, unit.revision))
        if isinstance(got, EdgequantError):
            result, why = ("to build", "not fetched yet") if mode.dry else ("failed", str(got))
            missing.append(Outcome(unit.name, unit.recipe.name, result, why))  # type: ignore[arg-type]
            ears.listener(unit.title, missing[-1])
        else:
            ready.append(unit if got is None else unit.of(str(got.folder), got.origin))
    return ready, missing


def _fetch(model: str, revision: str | None, mode: Mode) -> exporter.Fetched | EdgequantError:
    try:
        return exporter.download(model, revision, cached=mode.dry)
    except (ModelError, MissingExtraError) as error:
        return error


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold ``out`` for this run, and clear what a run that was killed left half-written there."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("another run prepares a stack there", where=out, hint="wait until it is done") from None
        for path in out.glob(".*.partial-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield
