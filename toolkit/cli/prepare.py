"""``edgequant prepare``: one file, and every model of an app is gated, bundled and in one image."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit import ending
from toolkit.cli import terminal
from toolkit.cli.board import Board
from toolkit.cli.image_build import add_sources, cache_folder, epoch
from toolkit.prepare import Options, Outcome, Report, Stack, prepare, read_stack
from toolkit.prepare.building import Mode
from toolkit.prepare.imaging import Parts
from toolkit.prepare.memory import available_memory
from toolkit.prepare.pool import Room
from toolkit.prepare.running import Ears
from toolkit.prepare.units import Place
from toolkit.progress import silent
from toolkit.report import words
from toolkit.runtime import cpu
from toolkit.runtime.options import positive

MARKS = {
    "built": "[green]built[/]",
    "up to date": "[dim]up to date[/]",
    "to build": "[cyan]to build[/]",
    "gate failed": "[bold red]GATE FAILED[/]",
    "failed": "[bold red]FAILED[/]",
    "skipped": "[yellow]skipped[/]",
}

QUIET = ("size_ratio", "non_finite_rows")  # the table has the sizes; what is not finite fails the gate


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("stack", metavar="STACK", type=Path, help="stack.toml: models, targets, limits, image")
    parser.add_argument(
        "-o", "--out", type=Path, metavar="DIR", help="where all goes (default: as STACK says, or out/NAME)"
    )
    parser.add_argument(
        "--local",
        metavar="NAME=FOLDER",
        action="append",
        default=[],
        type=_local,
        help="take the model NAME from a folder or .onnx file here, whatever STACK says; may be given again",
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="this model alone; may be given again"
    )
    parser.add_argument("--force", action="store_true", help="build what is up to date too")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be built and why, and do nothing")
    parser.add_argument(
        "--jobs", type=positive, metavar="N", help="at most N models at once (default: by cores and memory)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_sources(parser.add_argument_group("sources", "of the image's Python, libraries and wheels"))


def run(args: Namespace) -> int:
    """Prepare the stack and report; exit 3 if only gates failed, 1 if anything else did."""
    ending.unwind_on_sigterm()
    stack = read_stack(args.stack)
    home = args.stack.absolute().parent
    place = Place(home, args.out or _out(stack, home), dict(args.local))
    options = Options(
        parts=Parts(cache_folder(args), args.wheelhouse, epoch()),
        room=_room(args.jobs),
        mode=Mode(args.dry_run, args.force),
        only=tuple(args.only),
    )
    if args.dry_run:
        report = prepare(stack, place, options, Ears(_quiet, silent))
    else:
        with Board() as board:
            report = prepare(stack, place, options, Ears(board, board.track))
    if args.json:
        terminal.print_json(report.as_dict())
    else:
        _show(report)
    return report.exit_code


def _out(stack: Stack, home: Path) -> Path:
    return Path("out") / stack.name if stack.out is None else home / stack.out


def _room(jobs: int | None) -> Room:
    cores = cpu.available_threads()
    return Room(min(cores, jobs or cores), cores, available_memory())


def _quiet(_title: str, _what: object) -> None:
    pass


def _local(text: str) -> tuple[str, str]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, folder


def _show(report: Report) -> None:
    made = terminal.table("model", "target", ">MB fp32", ">MB int8", "metrics", "", ">s", ">GB", "why")
    for one in report.models:
        short = one.why.partition("\n")[0]
        made.add_row(one.model, one.target, *_sizes(one), _metrics(one), MARKS[one.result], *_cost(one), short)
    terminal.print_table(made)
    image = report.image
    lines = [f"\nimage     {image.result}: {image.why}"]
    lines += [f"          {image.digest}  {image.path}"] if image.digest else []
    terminal.out().print("\n".join(lines), soft_wrap=True, markup=False)
    told = [(f"{one.model} for {one.target}", one.result, one.why) for one in report.models]
    for title, result, why in (*told, ("image", image.result, image.why)):
        if result in ("failed", "gate failed"):
            terminal.err().print(f"\n{title}: {why}", soft_wrap=True, markup=False)


def _sizes(one: Outcome) -> tuple[str, str]:
    sizes: Any = (one.gate or {}).get("sizes")
    return ("", "") if sizes is None else (f"{sizes['fp32'] / 1e6:.1f}", f"{sizes['int8'] / 1e6:.1f}")


def _cost(one: Outcome) -> tuple[str, str]:
    return f"{one.seconds:.0f}", f"{one.peak_bytes / 1e9:.1f}" if one.peak_bytes else ""


def _metrics(one: Outcome) -> str:
    """Return what has a limit, in short: int8's value, and fp32's where it has one."""
    verdicts: Any = (one.gate or {}).get("verdicts", ())
    return ", ".join(_metric(verdict) for verdict in verdicts if _counts(verdict))


def _counts(verdict: Mapping[str, Any]) -> bool:
    return bool(verdict["limit"]) and verdict["int8"] is not None and verdict["metric"] not in QUIET


def _metric(verdict: Mapping[str, Any]) -> str:
    name, metric = words.name(verdict["metric"]), verdict["metric"]
    of = "" if verdict["fp32"] is None else f" (fp32 {words.number(metric, verdict['fp32'])})"
    return f"{name} {words.number(metric, verdict['int8'])}{of}"
