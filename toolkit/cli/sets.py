"""``edgequant sets``: the data sets that are shipped."""

from argparse import ArgumentParser, Namespace

from toolkit.cli import terminal
from toolkit.samples import shipped_sets


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(args: Namespace) -> int:
    """List the sets."""
    found = shipped_sets()
    if args.json:
        terminal.print_json([vars(info) for info in found])
        return 0
    made = terminal.table("set", "task", ">calibration", ">evaluation", "what", "licence")
    for info in found:
        rows = (str(info.calibration_rows), str(info.evaluation_rows))
        made.add_row(info.name, ", ".join(info.tasks), *rows, info.description, info.licence)
    terminal.print_table(made)
    return 0
