"""``python -m toolkit.runtime``: all that a device needs, with nothing else installed."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from toolkit.runtime.commands import register
from toolkit.runtime.failures import run_command
from toolkit.runtime.server.command import register_server
from toolkit.runtime.unpack_command import register_unpack


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 fine, 1 failure, 2 usage, 130 interrupted."""
    parser = ArgumentParser(prog="python -m toolkit.runtime", description="Run an edgequant bundle on this machine.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    register(subparsers)
    register_server(subparsers)
    register_unpack(subparsers)
    return run_command(parser.parse_args(argv))


if __name__ == "__main__":
    # numpy holds numbers here and multiplies none: its BLAS would start a thread a core, each of which spins at first.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
