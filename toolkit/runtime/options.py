"""What the commands of the runtime share: how they are added, and options that are read at the command line's edge."""

import os
from argparse import ArgumentParser, ArgumentTypeError
from typing import Protocol, cast

from toolkit.runtime.host import Engine

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


def sentence(what: str) -> str:
    """Return a command's help as a sentence."""
    return what[0].upper() + what[1:] + "."
