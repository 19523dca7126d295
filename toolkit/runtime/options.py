"""What the commands of the runtime share: how they are added, and options that are read at the command line's edge."""

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from toolkit.runtime.errors import UsageError
from toolkit.runtime.host import Engine

if TYPE_CHECKING:
    from toolkit.runtime.windows import Windows

ENGINE = "EDGEQUANT_ENGINE"
"""The environment variable that names the engine: python or capi (default: what is installed)."""
LIBRARY = "EDGEQUANT_ORT_LIBRARY"
"""The environment variable that names the libonnxruntime.so of the engine capi (default: the installed one)."""


class Subparsers(Protocol):
    """What ``ArgumentParser.add_subparsers()`` returns."""

    def add_parser(self, name: str, *, help: str, description: str) -> ArgumentParser:  # noqa: A002 - argparse's name
        """Add the parser of one command."""
        ...


def named_engine() -> tuple[Engine | None, str | None]:
    """Return the engine and the library that the environment names, each None where it names none."""
    return cast(Engine | None, os.environ.get(ENGINE) or None), os.environ.get(LIBRARY) or None


def positive(text: str) -> int:
    """Return a command line's number of threads, rows or the like; argparse tells what is wrong with it."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def whole(text: str) -> int:
    """Return a whole number of at least 0."""
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def limit(text: str) -> tuple[str, float]:
    """Return the label, empty for all, and the probability of a threshold: ``0.5`` or ``LABEL=0.5``."""
    label, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 1, nor LABEL=NUMBER")
    return label, value


def thresholds(limits: Iterable[tuple[str, float]], labels: Sequence[str]) -> dict[str, float]:
    """Return each label's threshold; the last that names it counts, before one for all."""
    given = dict(limits)
    return dict.fromkeys(labels, given.pop("", 0.0)) | given


def add_windows(parser: ArgumentParser, *, combined: bool = False) -> None:
    """Add ``--windows`` and what goes with it; ``combined`` where their results can be joined in several ways."""
    parser.add_argument(
        "--windows", action="store_true", help="read long texts whole, in overlapping windows (default: they are cut)"
    )
    parser.add_argument(
        "--overlap",
        type=whole,
        metavar="N",
        help="tokens that a window shares with the one before (default: a quarter)",
    )
    if combined:
        parser.add_argument(
            "--combine", choices=("mean", "max"), help="a label's score from its scores in the windows (default: mean)"
        )


def chosen_windows(args: Namespace) -> "Windows | None":
    """Return the windows that are asked for; UsageError for what goes with them, without them."""
    combine = getattr(args, "combine", None)
    if not args.windows:
        if args.overlap is not None or combine:
            raise UsageError("--overlap and --combine are of windows", hint="add --windows")
        return None
    from toolkit.runtime.windows import Windows  # noqa: PLC0415 - imports tokenizers

    return Windows(args.overlap, combine or "mean")


def sentence(what: str) -> str:
    """Return a command's help as a sentence."""
    return what[0].upper() + what[1:] + "."
