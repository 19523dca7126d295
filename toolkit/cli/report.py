"""`edgequant report`: a stored report, of a bundle or of a file that --json wrote, in the forms that people read."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from toolkit import decisions
from toolkit.cli import outputs, terminal
from toolkit.cli.verdict_tables import gate_table, trend_table
from toolkit.errors import BundleError, UsageError
from toolkit.gate import GateReport
from toolkit.gate.reading import read_report
from toolkit.report.page import Page, layers, mixed, provenance
from toolkit.report.parts import parts
from toolkit.report.schema import SCHEMA
from toolkit.runtime.bundle import AnyBundle, open_any
from toolkit.runtime.strict import parse, read
from toolkit.speed import Speed


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "source",
        metavar="REPORT.json|BUNDLE",
        nargs="?",
        type=Path,
        help="what --json of `edgequant gate` or `quantize` printed, or a bundle's folder",
    )
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of the gate's report instead")
    outputs.configure(parser)


def run(args: Namespace) -> int:
    """Render; exit 0 whatever the report says."""
    if args.schema:
        print(SCHEMA, end="")
        return 0
    if args.source is None:
        raise UsageError("no report is named", expected="REPORT.json or BUNDLE")
    outputs.check(args)
    page = bundle_page(args.source) if args.source.is_dir() else stored_page(args.source)
    if outputs.wanted(args):
        outputs.write(args, page)
    else:
        terminal.print_table(gate_table(page.report, page.title))
        if page.report.trend:
            terminal.print_table(trend_table(page.report, "the baseline"))
    return 0


def bundle_page(folder: Path) -> Page:
    """Return what a bundle holds of its own gate: no texts, but all layers."""
    bundle = open_any(folder)
    manifest = bundle.manifest
    model = folder / manifest.model.file
    try:
        data = model.read_bytes()
    except OSError as error:
        raise BundleError("the bundle's model cannot be read", where=model, got=error.strerror) from None
    return page_of(bundle, read_report(manifest.gate, folder / "manifest.json: gate"), (None, data))


def page_of(bundle: AnyBundle, report: GateReport, models: tuple[bytes | None, bytes]) -> Page:
    """Return a report of a bundle's model with what the bundle says of it; ``models``: fp32's, if known, and int8's."""
    decided = decisions.read(bundle.folder)
    return Page(
        report=report,
        target=bundle.manifest.target.name,
        layers=layers(decided),
        mixed=mixed(decided),
        parts=parts(*models),
        provenance=provenance(bundle.manifest.provenance),
    )


def stored_page(path: Path) -> Page:
    """Return what a file holds: the gate's report, alone or beside what else ``quantize`` printed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError("the report cannot be read", where=path, got=error.strerror) from None
    value = parse(data, path)
    if not isinstance(value, Mapping) or "gate" not in value:
        return Page(read_report(value, path))
    speeds = value.get("speed") or []
    return Page(read_report(value["gate"], path), speeds=tuple(read(Speed, item, path) for item in speeds))
