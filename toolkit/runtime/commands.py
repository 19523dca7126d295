"""The commands ``embed``, ``classify`` and ``verify``, for this package and for the whole ``edgequant``.

Each ``register_*`` adds one command whose ``args.run(args)`` returns the exit code; ``failures.run_command``
calls it. onnxruntime is imported when a command runs, not for its help.
"""

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from toolkit.runtime.errors import UsageError
from toolkit.runtime.host import Engine
from toolkit.runtime.reading import FORMATS, STDIN, read_texts

if TYPE_CHECKING:
    from toolkit.runtime.classifier import Classifier
    from toolkit.runtime.embedder import Embedder
    from toolkit.runtime.verification import VerifyReport

ENGINE = "EDGEQUANT_ENGINE"
"""The environment variable that names the engine: python or capi (default: what is installed)."""
LIBRARY = "EDGEQUANT_ORT_LIBRARY"
"""The environment variable that names the libonnxruntime.so of the engine capi (default: the installed one)."""
CHUNK = 512  # texts read, run and written at a time


class Subparsers(Protocol):
    """What ``ArgumentParser.add_subparsers()`` returns."""

    def add_parser(self, name: str, *, help: str, description: str) -> ArgumentParser:  # noqa: A002 - argparse's name
        """Add the parser of one command."""
        ...


def register(subparsers: Subparsers) -> None:
    """Add all commands of the runtime."""
    register_embed(subparsers)
    register_classify(subparsers)
    register_verify(subparsers)


def register_embed(subparsers: Subparsers) -> None:
    """Add ``embed``."""
    what = "turn texts into vectors with an embedding bundle"
    parser = subparsers.add_parser(
        "embed", help=what, description=f"{_sentence(what)} Output keeps the order of input."
    )
    _add_input(parser)
    _add_output(parser)
    parser.add_argument(
        "--format",
        choices=("jsonl", "npy"),
        help="jsonl: text and embedding a line; npy: float32 array (default: by OUT's name, or jsonl)",
    )
    parser.set_defaults(run=run_embed)


def register_classify(subparsers: Subparsers) -> None:
    """Add ``classify``."""
    what = "label texts with a classification bundle"
    parser = subparsers.add_parser(
        "classify", help=what, description=f"{_sentence(what)} Writes JSON lines in the order of input."
    )
    _add_input(parser)
    _add_output(parser)
    parser.add_argument("--top-k", type=positive, metavar="K", help="only the K best labels (default: all)")
    parser.set_defaults(run=run_classify)


def register_verify(subparsers: Subparsers) -> None:
    """Add ``verify``."""
    what = "check a bundle on this machine: files, CPU and golden vectors"
    parser = subparsers.add_parser("verify", help=what, description=f"{_sentence(what)} Exit 0 if all is well, else 1.")
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads to run with (default: all of this process)"
    )
    parser.add_argument("--key", metavar="PUB", type=Path, help="require a signature by this public key's owner")
    parser.set_defaults(run=run_verify)


def run_embed(args: Namespace) -> int:
    """Embed what is read and write it; stdout is data."""
    kind = args.format or ("npy" if (args.output or "").endswith(".npy") else "jsonl")
    if kind == "npy" and args.output is None and sys.stdout.isatty():
        raise UsageError("npy is binary and not for the terminal", hint="write it to a file: -o vectors.npy")
    texts = read_texts(args.files, args.input_format, args.field)
    embedder = _embedder(args)
    from toolkit.runtime import writing  # noqa: PLC0415 - imports onnxruntime

    found = ((chunk, embedder.embed(chunk)) for chunk in _chunks(texts))
    with writing.output(args.output) as handle:
        if kind == "npy":
            count = writing.write_embeddings_npy(found, handle, embedder.dimension)
        else:
            count = writing.write_embeddings_jsonl(found, handle)
    return _told(count, args.output)


def run_classify(args: Namespace) -> int:
    """Classify what is read and write it; stdout is data."""
    texts = read_texts(args.files, args.input_format, args.field)
    classifier = _classifier(args)
    from toolkit.runtime import writing  # noqa: PLC0415 - imports onnxruntime

    found = ((chunk, classifier.classify(chunk, args.top_k)) for chunk in _chunks(texts))
    with writing.output(args.output) as handle:
        count = writing.write_predictions_jsonl(found, handle)
    return _told(count, args.output)


def run_verify(args: Namespace) -> int:
    """Verify a bundle and print the report."""
    from toolkit.runtime.verification import verify  # noqa: PLC0415 - imports onnxruntime

    public_key = args.key.read_bytes() if args.key else None
    report = verify(args.bundle, args.threads, *named_engine(), public_key=public_key)
    print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) if args.json else _table(report))
    return 0 if report.ok else 1


def _add_input(parser: ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        default=[STDIN],
        help="texts, .txt or .jsonl; - is stdin (default)",
    )
    parser.add_argument(
        "--input-format",
        choices=FORMATS,
        help="txt: a text a line; jsonl: an object a line (default: by name, stdin txt)",
    )
    parser.add_argument("--field", default="text", help="the field of jsonl that holds the text (default: text)")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads to run with (default: all of this process)"
    )


def named_engine() -> tuple[Engine | None, str | None]:
    """Return the engine and the library that the environment names, each None where it names none."""
    return cast(Engine | None, os.environ.get(ENGINE) or None), os.environ.get(LIBRARY) or None


def _add_output(parser: ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="write to this file, whole or not at all (default: stdout)"
    )


def _embedder(args: Namespace) -> "Embedder":
    from toolkit.runtime.bundle import load  # noqa: PLC0415 - imports onnxruntime
    from toolkit.runtime.embedder import Embedder  # noqa: PLC0415

    loaded = load(args.bundle, args.threads, *named_engine())
    if not isinstance(loaded, Embedder):
        raise UsageError(
            "this bundle does not embed", where=args.bundle, hint="it classifies: use the command classify"
        )
    return loaded


def _classifier(args: Namespace) -> "Classifier":
    from toolkit.runtime.bundle import load  # noqa: PLC0415 - imports onnxruntime
    from toolkit.runtime.classifier import Classifier  # noqa: PLC0415

    loaded = load(args.bundle, args.threads, *named_engine())
    if not isinstance(loaded, Classifier):
        raise UsageError("this bundle does not classify", where=args.bundle, hint="it embeds: use the command embed")
    return loaded


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    source = iter(texts)
    while chunk := list(islice(source, CHUNK)):
        yield chunk


def _told(count: int, output: str | None) -> int:
    if output is not None:
        print(f"{count} texts -> {output}", file=sys.stderr)
    return 0


def _table(report: "VerifyReport") -> str:
    width = max(len(check.name) for check in report.checks)
    indent = "\n" + " " * (width + 8)
    rows = (
        f"  {'ok  ' if c.ok else 'FAIL'}  {c.name:{width}}  {c.detail.replace(chr(10), indent)}" for c in report.checks
    )
    last = "verified: fit to run here" if report.ok else "NOT verified: see FAIL above"
    return "\n".join([report.title or report.bundle, *rows, last])


def positive(text: str) -> int:
    """Return a command line's number of threads, rows or the like; argparse tells what is wrong with it."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _sentence(what: str) -> str:
    return what[0].upper() + what[1:] + "."
