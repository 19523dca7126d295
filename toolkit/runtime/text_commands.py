"""The commands that read texts: ``embed``, ``classify``, ``rerank``, ``entities``, ``generate``. Stdout is data."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from itertools import islice

from toolkit.runtime.errors import UsageError
from toolkit.runtime.generate_command import register_generate
from toolkit.runtime.loading import load_for
from toolkit.runtime.options import (
    Subparsers,
    add_windows,
    chosen_windows,
    limit,
    positive,
    sentence,
    thresholds,
)
from toolkit.runtime.reading import FORMATS, STDIN, read_texts

CHUNK = 512  # texts read, run and written at a time


def register(subparsers: Subparsers) -> None:
    """Add the commands that run texts."""
    register_embed(subparsers)
    register_classify(subparsers)
    register_rerank(subparsers)
    register_entities(subparsers)
    register_generate(subparsers)


def register_embed(subparsers: Subparsers) -> None:
    """Add ``embed``."""
    what = "turn texts into vectors with an embedding bundle"
    parser = _command(subparsers, "embed", what, "Output keeps the order of input.")
    parser.add_argument(
        "--format",
        choices=("jsonl", "npy"),
        help="jsonl: text and embedding a line; npy: float32 array (default: by OUT's name, or jsonl)",
    )
    add_windows(parser)
    parser.set_defaults(run=run_embed)


def register_classify(subparsers: Subparsers) -> None:
    """Add ``classify``."""
    what = "label texts with a classification bundle"
    parser = _command(subparsers, "classify", what, "Writes JSON lines in the order of input.")
    parser.add_argument("--top-k", type=positive, metavar="K", help="only the K best labels (default: all)")
    parser.add_argument(
        "--threshold",
        type=limit,
        action="append",
        metavar="P",
        help="only labels of at least this score, or LABEL=P for one label (default: all)",
    )
    add_windows(parser, combined=True)
    parser.set_defaults(run=run_classify)


def register_rerank(subparsers: Subparsers) -> None:
    """Add ``rerank``."""
    what = "order texts by how well they answer a query, with a reranking bundle"
    parser = _command(subparsers, "rerank", what, "Reads all texts, then writes JSON lines, the best first.")
    parser.add_argument("--query", required=True, metavar="TEXT", help="what the texts shall answer")
    parser.add_argument("--top-k", type=positive, metavar="K", help="only the K best texts (default: all)")
    parser.set_defaults(run=run_rerank)


def register_entities(subparsers: Subparsers) -> None:
    """Add ``entities``."""
    what = "find entities in texts with a token classification bundle"
    parser = _command(subparsers, "entities", what, "Writes JSON lines in the order of input.")
    add_windows(parser)
    parser.set_defaults(run=run_entities)


def run_embed(args: Namespace) -> int:
    """Embed what is read and write it; stdout is data."""
    kind = args.format or ("npy" if (args.output or "").endswith(".npy") else "jsonl")
    if kind == "npy" and args.output is None and sys.stdout.isatty():
        raise UsageError("npy is binary and not for the terminal", hint="write it to a file: -o vectors.npy")
    texts, windows = read_texts(args.files, args.input_format, args.field), chosen_windows(args)
    from toolkit.runtime import writing  # noqa: PLC0415 - imports onnxruntime
    from toolkit.runtime.embedder import Embedder  # noqa: PLC0415

    embedder = load_for(args, Embedder)
    found = ((chunk, embedder.embed(chunk, windows=windows)) for chunk in _chunks(texts))
    with writing.output(args.output) as handle:
        if kind == "npy":
            count = writing.write_embeddings_npy(found, handle, embedder.dimension)
        else:
            count = writing.write_embeddings_jsonl(found, handle)
    return _told(count, args.output)


def run_classify(args: Namespace) -> int:
    """Classify what is read and write it; stdout is data."""
    texts, windows = read_texts(args.files, args.input_format, args.field), chosen_windows(args)
    from toolkit.runtime import writing  # noqa: PLC0415 - imports onnxruntime
    from toolkit.runtime.classifier import Classifier  # noqa: PLC0415

    classifier = load_for(args, Classifier)
    least = thresholds(args.threshold or (), classifier.labels)
    classifier.classify([], args.top_k, least, windows)  # what is wrong with these is told before the output is opened
    found = ((chunk, classifier.classify(chunk, args.top_k, least, windows)) for chunk in _chunks(texts))
    with writing.output(args.output) as handle:
        count = writing.write_predictions_jsonl(found, handle)
    return _told(count, args.output)


def run_rerank(args: Namespace) -> int:
    """Score all that is read by the query and write it, the best first."""
    texts = list(read_texts(args.files, args.input_format, args.field))
    from toolkit.runtime import writing  # noqa: PLC0415 - imports onnxruntime
    from toolkit.runtime.reranker import Reranker  # noqa: PLC0415

    ranked = load_for(args, Reranker).rank(args.query, texts, args.top_k)
    with writing.output(args.output) as handle:
        count = writing.write_ranking_jsonl(texts, ranked, handle)
    return _told(count, args.output)


def run_entities(args: Namespace) -> int:
    """Find the entities of what is read and write them."""
    texts, windows = read_texts(args.files, args.input_format, args.field), chosen_windows(args)
    from toolkit.runtime import writing  # noqa: PLC0415 - imports onnxruntime
    from toolkit.runtime.token_classifier import TokenClassifier  # noqa: PLC0415

    classifier = load_for(args, TokenClassifier)
    found = ((chunk, classifier.entities(chunk, windows=windows)) for chunk in _chunks(texts))
    with writing.output(args.output) as handle:
        count = writing.write_entities_jsonl(found, handle)
    return _told(count, args.output)


def _command(subparsers: Subparsers, name: str, what: str, order: str) -> ArgumentParser:
    """Add a command that reads texts and writes an answer; ``order`` says in which order."""
    parser = subparsers.add_parser(name, help=what, description=f"{sentence(what)} {order}")
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
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="write to this file, whole or not at all (default: stdout)"
    )
    return parser


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    source = iter(texts)
    while chunk := list(islice(source, CHUNK)):
        yield chunk


def _told(count: int, output: str | None) -> int:
    if output is not None:
        print(f"{count} texts -> {output}", file=sys.stderr)
    return 0
