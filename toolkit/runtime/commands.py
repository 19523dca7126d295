"""All commands of the runtime, for this package and for the whole ``edgequant``.

Each ``register_*`` adds one command whose ``args.run(args)`` returns the exit code; ``failures.run_command``
calls it. onnxruntime is imported when a command runs, not for its help.
"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.runtime import text_commands
from toolkit.runtime.options import Subparsers, named_engine, positive, sentence
from toolkit.runtime.run_command import register_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolkit.runtime.verification import Check, VerifyReport

VERIFY = "check a bundle on this machine: files, CPU and golden vectors"


def register(subparsers: Subparsers) -> None:
    """Add all commands of the runtime."""
    text_commands.register(subparsers)
    register_run(subparsers)
    register_verify(subparsers)


def register_verify(subparsers: Subparsers) -> None:
    """Add ``verify``."""
    description = f"{sentence(VERIFY)} Exit 0 if all is well, else 1."
    parser = subparsers.add_parser("verify", help=VERIFY, description=description)
    configure_verify(parser)
    parser.set_defaults(run=run_verify)


def configure_verify(parser: ArgumentParser) -> None:
    """Add the arguments of ``verify``."""
    parser.add_argument("bundle", metavar="BUNDLE", help="the bundle's folder")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads to run with (default: all of this process)"
    )
    parser.add_argument("--key", metavar="PUB", type=Path, help="require a signature by this public key's owner")


def run_verify(args: Namespace) -> int:
    """Verify a bundle and print the report."""
    from toolkit.runtime.verification import verify  # noqa: PLC0415 - imports onnxruntime

    public_key = args.key.read_bytes() if args.key else None
    report = verify(args.bundle, args.threads, *named_engine(), public_key=public_key)
    print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) if args.json else _table(report))
    return 0 if report.ok else 1


def check_lines(checks: "Sequence[Check]") -> list[str]:
    """Return one line a check, or more where it has more to say."""
    width = max((len(check.name) for check in checks), default=0)
    indent = "\n" + " " * (width + 8)
    return [f"  {'ok  ' if c.ok else 'FAIL'}  {c.name:{width}}  {c.detail.replace(chr(10), indent)}" for c in checks]


def _table(report: "VerifyReport") -> str:
    last = "verified: fit to run here" if report.ok else "NOT verified: see FAIL above"
    return "\n".join([report.title or report.bundle, *check_lines(report.checks), last])
