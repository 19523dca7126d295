"""``edgequant parity``: one bundle on every kernel that this machine can reach, and how well they agree."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from toolkit.cli import terminal
from toolkit.cli.emulation import add_qemu, add_sample, sample_or
from toolkit.cli.reach import reach
from toolkit.errors import UsageError
from toolkit.isa.choose import places, verify_of
from toolkit.isa.cpu_models import MODELS
from toolkit.isa.parity import ParityReport, Row, parity
from toolkit.runtime.bundle import open_bundle

PLACES = ("vnni", "avx2", "Haswell", "cortex-a72", "cortex-a76", "max-i8mm")
SENTENCES = 8
_SHORT = {"this machine": "here"} | {f"{name} (emulated)": name for name in MODELS}


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="the bundle's folder")
    parser.add_argument(
        "--isa", metavar="ISA,…", default=",".join(PLACES), help=f"kernels and CPU models (default: {','.join(PLACES)})"
    )
    add_sample(parser)
    add_qemu(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: Namespace) -> int:
    """Compare and report; exit 1 if a check failed or no place could be reached."""
    bundle = open_bundle(args.bundle)
    names = [name.strip() for name in args.isa.split(",")]
    if not all(names):
        raise UsageError("a name after --isa is empty", got=args.isa, expected=",".join(PLACES))
    sample = sample_or(args, bundle.manifest, SENTENCES)
    here, target = reach(args.qemu), verify_of(bundle.manifest)
    report = parity(bundle, names, lambda name: places([name], target, here), sample, terminal.track)
    if args.json:
        terminal.print_json(report.as_dict())
    else:
        _print(report)
    return 0 if report.ok else 1


def _print(report: ParityReport) -> None:
    table = terminal.table(
        "kernels", ">integer sums", "pairs", "int8 arithmetic", ">layers, cosine", ">rounded otherwise",
        ">sentences, cosine", "", title=report.title,
    )  # fmt: skip
    for row in report.rows:
        table.add_row(*_cells(row))
    terminal.print_table(table)
    matrix = terminal.table("worst cosine of a sentence", *(f">{_SHORT.get(name, name)}" for name in report.names))
    for name, cosines in zip(report.names, report.cosines, strict=True):
        matrix.add_row(_SHORT.get(name, name), *(f"{value:.6f}" for value in cosines))
    terminal.out().print()
    terminal.print_table(matrix)
    failed = [
        f"FAIL {row.name}: {check.name}: {check.detail}" for row in report.rows for check in row.checks if not check.ok
    ]
    missed = [f"not run: {name}: {reason}" for name, reason in report.unreached.items()]
    last = "every kernel agrees" if report.ok else "NOT the same on every kernel"
    terminal.out().print("\n".join(["", *failed, *missed, last]), soft_wrap=True, markup=False)


def _cells(row: Row) -> tuple[str, ...]:
    shown = row.agreement
    arithmetic = next((check.detail.partition(": ")[2] for check in row.checks if check.name == "instructions"), "")
    return (
        row.name,
        f"{row.proof.sums} right" if row.proof else "wrong",
        ("saturate" if row.proof.saturates else "exact") if row.proof else "",
        arithmetic,
        f"{min(each.held_cosine for each in shown.sentences):.7f}",
        f"{shown.moved} of {shown.activations}",
        f"{min(each.cosine for each in shown.sentences):.6f}",
        "ok" if all(check.ok for check in row.checks) else "FAIL",
    )
