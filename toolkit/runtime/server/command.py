"""The commands ``serve`` and ``health``."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from math import isfinite
from pathlib import Path

from toolkit.runtime.errors import EdgequantError, UsageError
from toolkit.runtime.host import host
from toolkit.runtime.options import Subparsers, named_engine, positive, sentence
from toolkit.runtime.server.limits import Limits

TOKEN = "EDGEQUANT_TOKEN"  # noqa: S105 - a name
"""The environment variable that holds the bearer token."""
URL = "http://127.0.0.1:8080/ready"

_NOTIFY = "NOTIFY_SOCKET"
_COUNTS = {
    "max_batch": "texts run together",
    "batch_tokens": "rows times length of one run of the model: its memory goes by it",
    "max_queue": "requests of one model that run or wait; 429 beyond",
    "max_inputs": "texts in one request",
    "max_characters": "characters in one text",
    "max_tokens": "tokens in one request",
    "max_body": "bytes in one request",
    "max_connections": "open connections; 503 beyond",
    "max_generations": "texts of one model generated at the same time, in turns",
}
_SECONDS = {
    "timeout": "seconds from a whole request to its answer",
    "generation_timeout": "seconds from a whole request to the end of the text that is generated",
    "read_timeout": "seconds for a request's head, for its body, and for taking in an answer",
    "idle_timeout": "seconds that an idle connection is kept",
}


def register_server(subparsers: Subparsers) -> None:
    """Add ``serve`` and ``health``."""
    what = "answer requests over HTTP with one or more bundles"
    parser = subparsers.add_parser("serve", help=what, description=f"{sentence(what)} Stops in order on SIGTERM.")
    _configure(parser)
    parser.set_defaults(run=run_serve)
    what = "ask a running server whether it is ready"
    parser = subparsers.add_parser("health", help=what, description=f"{sentence(what)} Exit 0 if it is, else 1.")
    parser.add_argument("--url", default=URL, help=f"what to ask (default: {URL})")
    parser.add_argument("--timeout", type=_seconds, default=3.0, metavar="S", help="seconds to wait (default: 3)")
    parser.set_defaults(run=run_health)


def _configure(parser: ArgumentParser) -> None:
    defaults = Limits()
    parser.add_argument(
        "bundles", metavar="BUNDLE", nargs="+", type=Path, help="a bundle's folder, or a folder of such folders"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8080, help="the port; 0 takes a free one (default: 8080)")
    parser.add_argument("--unix", metavar="PATH", type=Path, help="listen on a unix socket instead")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads of a model (default: all of this process)"
    )
    for name, what in _COUNTS.items():
        _add_limit(parser, name, what, "N", getattr(defaults, name))
    for name, what in _SECONDS.items():
        _add_limit(parser, name, what, "S", getattr(defaults, name))
    parser.add_argument(
        "--token-file", metavar="FILE", type=Path, help=f"requests must have this bearer token (default: ${TOKEN})"
    )
    parser.add_argument(
        "--require-signature",
        metavar="PUB",
        type=Path,
        help="serve no bundle that this public key's owner did not sign",
    )


def _add_limit(parser: ArgumentParser, name: str, what: str, unit: str, default: float) -> None:
    read = positive if unit == "N" else _seconds
    option = f"--{name.replace('_', '-')}"
    parser.add_argument(option, type=read, default=default, metavar=unit, help=f"{what} (default: {default:g})")


def run_serve(args: Namespace) -> int:
    """Serve until told to stop."""
    from toolkit.runtime.server import memory  # noqa: PLC0415 - imports ctypes

    memory.leave_out_openssl()
    memory.give_memory_back()
    try:
        from toolkit.runtime.server.serving import Settings, serve  # noqa: PLC0415 - imports asyncio, h11, the engine
    except ModuleNotFoundError as error:
        hint = "pip install 'edgequant[serve]'"
        raise UsageError(f"`serve` needs the package {error.name}, which is not installed", hint=hint) from None
    limits = Limits(**{name: getattr(args, name) for name in (*_COUNTS, *_SECONDS)})
    settings = Settings(
        bundles=tuple(args.bundles),
        address=args.host,
        port=args.port,
        unix=args.unix,
        limits=limits,
        host=host(args.threads, *named_engine()),
        token=read_token(args.token_file, os.environ.get(TOKEN)),
        public_key=args.require_signature.read_bytes() if args.require_signature else None,
        notify=os.environ.get(_NOTIFY),
    )
    return serve(settings)


def run_health(args: Namespace) -> int:
    """Ask, and say what the answer was unless all is well."""
    from toolkit.runtime.server.health import ask  # noqa: PLC0415 - imports sockets

    status = ask(args.url, args.timeout)
    if status != 200:
        raise EdgequantError("the server is not ready", where=args.url, got=f"HTTP {status}", expected="HTTP 200")
    print("ready", file=sys.stderr)
    return 0


def read_token(file: Path | None, variable: str | None) -> bytes | None:
    """Return the bearer token of the file, or of the variable; None where neither is there."""
    if file is None and variable is None:
        return None
    text = file.read_text(encoding="utf-8", errors="replace") if file else variable or ""
    token = text.strip()
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        where = file or f"${TOKEN}"
        expected = f"one line of at least {_SHORTEST} ASCII characters without spaces"
        raise UsageError("the bearer token cannot be used", where=where, expected=expected, hint=_HOW)
    return token.encode()


_SHORTEST = 16
_HOW = "make one: openssl rand -hex 32"


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is not a port: a whole number up to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not isfinite(value) or value <= 0:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value
