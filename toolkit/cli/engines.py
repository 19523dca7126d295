"""Who quantizes, and which Python has the packages of an engine that is not edgequant's own."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import get_args

from toolkit.engines.catalog import ENGINES
from toolkit.errors import UsageError
from toolkit.strict import nearest
from toolkit.targets import EngineName, Recipe


def add_engine(parser: ArgumentParser) -> None:
    """Add ``--engine``."""
    parser.add_argument("--engine", choices=get_args(EngineName), help="who quantizes (default: as the recipe says)")


def engine_of(args: Namespace, recipe: Recipe) -> EngineName:
    """Return who quantizes; UsageError where another engine is asked for what it has not."""
    engine: EngineName = args.engine or recipe.quantization.engine
    given = [f"--{name}" for name in ("tune", "tuning", "budget") if getattr(args, name)]
    if engine != "native" and given:
        hint = "leave it out, or take --engine native"
        raise UsageError(f"the engine {engine} has no {given[0]}", expected="edgequant's own engine", hint=hint)
    return engine


def add_pythons(parser: ArgumentParser) -> None:
    """Add ``--engine-python``."""
    what = "the python of an environment that has the engine's packages, 3.11 or newer; may be said more than once"
    parser.add_argument("--engine-python", action="append", default=[], metavar="ENGINE=PYTHON", help=what)


def pythons(args: Namespace) -> dict[str, Path]:
    """Return what ``--engine-python`` says; UsageError for an engine or a file that does not exist."""
    found = {}
    for text in args.engine_python:
        name, _, path = text.partition("=")
        check_engine(name)
        if not Path(path).is_file():
            raise UsageError("there is no such Python", where="--engine-python", got=text, expected="ENGINE=PYTHON")
        found[name] = Path(path).absolute()
    return found


def check_engine(name: str, also: tuple[str, ...] = ()) -> None:
    """Raise UsageError for an engine that does not exist."""
    known = (*also, *ENGINES)
    if name not in known:
        raise UsageError("there is no such engine", got=name, expected=", ".join(known), hint=nearest(name, known))
