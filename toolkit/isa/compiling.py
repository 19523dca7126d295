"""The C files that come with the package, compiled by this machine's gcc."""

import subprocess
from pathlib import Path

from toolkit.errors import EdgequantError


def compile_shared(source: Path, out: Path, what: str, *flags: str) -> None:
    """Write ``source`` as the shared object ``out``; EdgequantError with gcc's words, which calls it ``what``."""
    command = ["gcc", "-O2", "-shared", "-fPIC", *flags, "-o", str(out), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if ended.returncode:
        hint = "apt install gcc libc6-dev"
        raise EdgequantError(f"gcc cannot compile {what}", where=source, got=ended.stderr.strip()[-800:], hint=hint)
