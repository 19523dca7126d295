"""The edge of every command: what failed becomes one message and an exit code."""

import errno
import os
import sys
import traceback
from argparse import Namespace

from toolkit.runtime.errors import EdgequantError

INTERRUPTED = 130  # 128 + SIGINT, as a shell counts
PIPE_CLOSED = 141  # 128 + SIGPIPE

_TRACEBACK = "EDGEQUANT_TRACEBACK"
_HINTS = {
    errno.ENOSPC: "free some space, or write elsewhere",
    errno.EDQUOT: "free some space, or write elsewhere",
    errno.EACCES: "check the permissions of the file and its folder",
    errno.EPERM: "check the permissions of the file and its folder",
    errno.EROFS: "write to another place",
    errno.ENOENT: "check the path: a file or a folder in it does not exist",
}


def run_command(args: Namespace) -> int:
    """Run ``args.run(args)`` and return the exit code; whatever it raises becomes words on stderr."""
    try:
        code: int = args.run(args)
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the edge
        if os.environ.get(_TRACEBACK):
            traceback.print_exception(error)
        what = explain(error)
        _say(f"error: {what}")
        return what.exit_code
    return code


def explain(error: Exception) -> EdgequantError:
    """Return the error as one that a person can read."""
    if isinstance(error, EdgequantError):
        return error
    if isinstance(error, OSError):
        what = error.strerror or str(error) or type(error).__name__
        hint = _HINTS.get(error.errno or 0, "")
        return EdgequantError(what[:1].lower() + what[1:], where=error.filename or "", hint=hint)
    if isinstance(error, MemoryError):
        hint = "use fewer threads or shorter texts, or a machine with more memory"
        return EdgequantError("not enough memory", got=error, hint=hint)
    hint = f"this is a bug: set {_TRACEBACK}=1, run it again and report what it prints"
    return EdgequantError(f"unexpected {type(error).__name__}: {error}", hint=hint)


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _forget_stdout() -> None:
    """Let the interpreter flush what is left into nothing: the reader has gone."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), sys.stdout.fileno())
