"""Write docs/cli.md from the commands' own help: ``make docs``."""

import contextlib
import io
import os
from pathlib import Path

from toolkit import cli

COMMANDS = (
    "",
    "quantize",
    "compare",
    "prepare",
    "embed",
    "classify",
    "verify",
    "serve",
    "health",
    "report",
    "inspect",
    "targets",
    "sets",
    "keygen",
    "sign",
    "kit",
    "sbom",
    "unpack",
    "image",
    "image build",
    "image inspect",
    "image verify",
    "image unpack",
    "image push",
    "image lock",
    "doctor",
)
PATH = Path(__file__).parent / "cli.md"


def render() -> str:
    """Return the page."""
    parts = ["# Command line", "", "Written by `make docs` from `--help`.", ""]
    for command in COMMANDS:
        parts += [f"## edgequant {command}".rstrip(), "", "```", _help(command), "```", ""]
    return "\n".join(parts)


def _help(command: str) -> str:
    os.environ["COLUMNS"] = "100"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        cli.main([*command.split(), "--help"])
    return printed.getvalue().strip()


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
