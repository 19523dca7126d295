"""``--tune`` and ``--tuning``: which forms the graph takes, measured now or before."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toolkit.atomic import whole_file
from toolkit.cli import terminal
from toolkit.cli.reach import cache_folder
from toolkit.errors import EdgequantError, UsageError
from toolkit.isa.choose import place_to_time_on
from toolkit.isa.native import cpu_name
from toolkit.isa.timing import cpu_seconds
from toolkit.sources import Source
from toolkit.targets import Recipe
from toolkit.tuning.measurement import Conditions, Measurement, stored
from toolkit.tuning.search import search


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--tune",
        action="store_true",
        help="time equal forms of the graph on the target's kernels and take the fastest (default: the recipe's)",
    )
    parser.add_argument(
        "--tuning",
        type=Path,
        metavar="FILE",
        help="take the forms that were measured into FILE; with --tune, measure and write it where there is none",
    )


def refuse(args: Namespace, what: str) -> None:
    """Raise UsageError where forms are to be chosen of what has only one."""
    given = next((name for name in ("tune", "tuning") if getattr(args, name)), None)
    if given:
        hint = "forms are of text encoders that edgequant itself quantizes"
        raise UsageError(f"{what} has no forms to choose from", got=f"--{given}", hint=hint)


def measurement(args: Namespace, recipe: Recipe, source: Source) -> Measurement | None:
    """Return what was measured, now or before; None where the recipe's forms stand.

    UsageError for a file that is not there, if nothing is measured either.
    """
    runtime = version("onnxruntime")
    if args.tuning is not None and (args.tuning.exists() or not args.tune):
        if not args.tuning.is_file():
            raise UsageError("there is no such measurement", where=args.tuning, hint="say --tune to make it")
        return stored(args.tuning, recipe, source.digest, runtime)
    if not args.tune:
        return None
    try:
        place = place_to_time_on(recipe.verify.isa, cache_folder())
    except EdgequantError as reason:
        terminal.err().print(f"the recipe's forms are taken: {reason}", soft_wrap=True, markup=False)
        return None
    forms, session, trials = search(source, recipe, partial(cpu_seconds, place), terminal.track)
    found = Measurement(
        conditions=Conditions(
            target=recipe.name,
            model_sha256=source.digest,
            onnxruntime=runtime,
            isa=recipe.verify.isa,
            how=place.how,
            cpu=cpu_name(),
        ),
        tuning=recipe.tuning,
        forms=forms,
        session=session,
        trials=trials,
    )
    if args.tuning is not None:
        with whole_file(args.tuning) as path:
            path.write_text(found.to_json(), encoding="utf-8")
    return found


def facts(found: Mapping[str, Any]) -> list[str]:
    """Return which forms a bundle has and why, from its decisions; nothing for one from before there were any."""
    if "forms" not in found:
        return []
    measured = found.get("measurement")
    if measured is None:
        return [f"forms     {_words(found['forms'])} (of the recipe)"]
    shapes = " ".join(f"{profile['batch']}x{profile['length']}" for profile in measured["tuning"]["profiles"])
    conditions = measured["conditions"]
    kernels = f"{conditions['isa']} ({conditions['how']}, {conditions['cpu']})"
    return [f"forms     {_words(found['forms'])} (measured at {shapes} on {kernels})", *map(_trial, measured["trials"])]


def _trial(trial: Mapping[str, Any]) -> str:
    times = "  ".join(f"{now:.2f} for {old:.2f}" for now, old in _times(trial))
    what = f"{trial['computation']} {trial['form']} instead of {trial['instead_of']}"
    return f"          {what}: {trial['speed']:.3f}x{', taken' if trial['taken'] else ''} (ms: {times})"


def _times(trial: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    return zip(trial["milliseconds"], trial["milliseconds_before"], strict=True)


def _words(forms: Mapping[str, str]) -> str:
    return ", ".join(f"{computation} {form}" for computation, form in forms.items())
