"""GitHub's workflow commands: ``::error title=…::…`` for what failed, and so on.

Escaped as the runner unescapes them (actions/toolkit, packages/core/src/command.ts). A step shows ten of a kind.
"""

from toolkit.report import words
from toolkit.report.page import Page
from toolkit.report.text import clean

AT_MOST = 10
_COMMANDS = {"fail": "error", "undecided": "error", "not measured": "warning"}


def annotations(page: Page) -> str:
    """Return the commands, one a line: an error for what stops the build, a warning for what was not measured."""
    checks = words.checks(page.report)
    lines: list[str] = []
    for command in ("error", "warning"):
        found = [check for check in checks if _COMMANDS.get(check.outcome) == command]
        shown = found if len(found) <= AT_MOST else found[: AT_MOST - 1]
        lines += [_command(command, f"{page.title}: {check.name}", check.sentence) for check in shown]
        if rest := [check.name for check in found[len(shown) :]]:
            lines.append(_command(command, page.title, f"and {len(rest)} more: {', '.join(rest)}"))
    said = f"{words.headline(page.report)} Judged on {page.report.rows} rows of {page.report.dataset}."
    lines.append(_command("notice", f"{page.title}: the gate {words.STATES[words.state(page.report)]}", said))
    return "\n".join(lines) + "\n"


def _command(command: str, title: str, message: str) -> str:
    return f"::{command} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
