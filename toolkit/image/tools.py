"""The programs of the host that an image is made with, and their failures in words."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from toolkit.errors import EdgequantError, UsageError

_SHOWN = 12  # lines of a program's own words


def require(program: str, hint: str) -> None:
    """Raise UsageError where a program is not installed."""
    if shutil.which(program) is None:
        raise UsageError(f"the program {program} is not installed", hint=hint)


def run(command: Sequence[str | Path], what: str, *, cwd: Path | None = None, hint: str = "") -> str:
    """Return what a program prints; EdgequantError with its last words where it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, errors="replace")
    if done.returncode:
        words = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = "\n       ".join(words[-_SHOWN:]) or f"exit status {done.returncode}"
        raise EdgequantError(what, where=Path(command[0]).name, got=said, hint=hint)
    return done.stdout
