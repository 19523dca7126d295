"""The command ``generate``: a prompt goes on, or a message is answered, while one looks on."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from toolkit.runtime.errors import TextError, UsageError
from toolkit.runtime.loading import load_for
from toolkit.runtime.options import Subparsers, positive, sentence, whole
from toolkit.runtime.reading import STDIN
from toolkit.runtime.sampling import Sampling

if TYPE_CHECKING:
    from toolkit.runtime.generation import Generation


def register_generate(subparsers: Subparsers) -> None:
    """Add ``generate``."""
    what = "go on from a prompt with a text generation bundle, or answer a message"
    parser = subparsers.add_parser("generate", help=what, description=f"{sentence(what)} Text comes as it is made.")
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", default=STDIN, help="- is all of stdin (default)")
    parser.add_argument("--chat", action="store_true", help="answer the prompt, by the model's chat template")
    parser.add_argument("--system", metavar="TEXT", help="what the chat's first turn tells the model to be")
    parser.add_argument(
        "--max-tokens", type=positive, metavar="N", help="tokens at most (default: what the context has room for)"
    )
    _add_sampling(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object: text, tokens and why it ended")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads to run with (default: all of this process)"
    )
    parser.set_defaults(run=run_generate)


def _add_sampling(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--temperature", type=_number, default=0.0, metavar="T", help="0 takes the likeliest token (default: 0)"
    )
    parser.add_argument(
        "--top-p", type=_number, default=1.0, metavar="P", help="only the likeliest that add up to P (default: 1)"
    )
    parser.add_argument("--top-k", type=whole, default=0, metavar="K", help="only the K likeliest (default: all)")
    parser.add_argument("--seed", type=whole, metavar="N", help="the same text for the same seed (default: by chance)")
    parser.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end before this; may be given again"
    )


def run_generate(args: Namespace) -> int:
    """Write what the model says; stdout is data."""
    if args.system is not None and not args.chat:
        raise UsageError("--system is of a chat", hint="add --chat")
    prompt, sampling = _prompt(args.prompt), _sampling(args)
    from toolkit.runtime.generator import Generator, Message  # noqa: PLC0415 - imports tokenizers

    generator = load_for(args, Generator)
    if not args.chat:
        return _write(generator.stream(prompt, sampling), as_json=args.json)
    first = [] if args.system is None else [Message("system", args.system)]
    return _write(generator.stream_chat([*first, Message("user", prompt)], sampling), as_json=args.json)


def _write(generation: "Generation", *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(asdict(generation.complete()), ensure_ascii=False))
        return 0
    for piece in generation:
        print(piece, end="", flush=True)
    print()
    return 0


def _sampling(args: Namespace) -> Sampling:
    return Sampling(args.max_tokens, args.temperature, args.top_p, args.top_k, args.seed, tuple(args.stop))


def _prompt(given: str) -> str:
    if given != STDIN:
        return given
    if sys.stdin is None:
        raise UsageError("standard input is closed", hint="give the prompt as an argument, or pipe it in")
    if sys.stdin.isatty():
        print("reading the prompt from the terminal; end with Ctrl-D", file=sys.stderr)
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise TextError("the prompt is not UTF-8", where="stdin", got=f"a wrong byte at {error.start}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
