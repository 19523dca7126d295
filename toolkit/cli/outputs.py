"""`--html`, `--junit`, `--markdown` and `--github`: the report where people look, for every command that has one."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.report.annotations import annotations
from toolkit.report.html import html
from toolkit.report.junit import junit
from toolkit.report.markdown import markdown
from toolkit.report.page import Page
from toolkit.runtime.writing import output

FORMS: Mapping[str, tuple[Callable[[Page], str], str]] = {
    "html": (html, "one self-contained page with plots"),
    "junit": (junit, "JUnit XML: a test case for each metric"),
    "markdown": (markdown, "a summary in GitHub's markdown"),
}
SUMMARY = "GITHUB_STEP_SUMMARY"


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group(
        "reports", "written whether the gate passes or not, in place of what stands there; - is stdout"
    )
    for name, (_, what) in FORMS.items():
        group.add_argument(f"--{name}", metavar="FILE", help=what)
    group.add_argument(
        "--github",
        action="store_true",
        help="in a GitHub job: append the summary to the step's, and annotate the run (on stderr)",
    )


def wanted(args: Namespace) -> bool:
    """Tell whether any report is asked for."""
    return args.github or any(getattr(args, name) is not None for name in FORMS)


def check(args: Namespace) -> None:
    """Raise UsageError where a report could not be written: before the work, not after it."""
    for name in FORMS:
        path = getattr(args, name)
        if path in (None, "-"):
            continue
        folder = Path(path).resolve().parent
        if not path or Path(path).is_dir():
            raise UsageError(f"--{name} needs the name of a file", got=repr(path))
        if not folder.is_dir():
            raise UsageError(f"the folder of --{name} is missing", where=folder, hint=f"mkdir -p {folder}")
        if not os.access(folder, os.W_OK):
            raise UsageError(
                f"nothing may be written where --{name} shall be", where=folder, hint="name another folder"
            )
    if args.github and not os.environ.get(SUMMARY):
        hint = "outside of GitHub take --markdown FILE"
        raise UsageError("--github is for a step of a GitHub job", got=f"no {SUMMARY} in the environment", hint=hint)


def write(args: Namespace, page: Page) -> None:
    """Write what is asked for, each file whole or not at all."""
    for name, (form, _) in FORMS.items():
        path = getattr(args, name)
        if path is not None:
            with output(None if path == "-" else path) as handle:
                handle.write(form(page).encode())
    if args.github:
        with Path(os.environ[SUMMARY]).open("a", encoding="utf-8") as summary:  # other commands of the step write there
            summary.write(markdown(page) + "\n")
        sys.stderr.write(annotations(page))
        sys.stderr.flush()
