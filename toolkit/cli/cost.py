"""``edgequant cost``: executed instructions of fp32 and int8 on CPUs that cannot be timed here."""

import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from toolkit.cli import terminal
from toolkit.cli.emulation import add_qemu
from toolkit.cli.reach import cache_folder
from toolkit.errors import UsageError
from toolkit.isa.choose import verify_of
from toolkit.isa.cost import SHAPES, CostReport, Count, cost
from toolkit.isa.counted import Counted
from toolkit.isa.cpu_models import CpuModel, cpu_model
from toolkit.isa.emulated import Emulator
from toolkit.runtime.bundle import Bundle, open_bundle
from toolkit.runtime.options import positive
from toolkit.sources import DEMO_NAME, Source, SourceOptions, demo_model, open_source
from toolkit.subjects import source_subject

INT8, FP32 = "int8", "fp32"
NOTE = (
    "Executed instructions, counted under emulation, the same on every run. They are not time: one UMMLA does the work "
    "of many multiply-adds, and a load may wait."
)


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="the bundle's folder")
    parser.add_argument(
        "float_model",
        metavar="FLOAT",
        nargs="?",
        help=f"the float model, to count it too: what was given to quantize (default: {DEMO_NAME} for a bundle of it)",
    )
    parser.add_argument("--isa", metavar="CPU,…", help="CPU models of QEMU (default: those of the bundle's recipe)")
    parser.add_argument(
        "--tokens", type=positive, metavar="N", action="append", help="tokens of one text; may be given more than once"
    )
    add_qemu(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: Namespace) -> int:
    """Count and report."""
    bundle = open_bundle(args.bundle)
    if bundle.manifest.task == "text-generation":
        raise UsageError("instructions are counted for encoders, and this bundle is for text generation")
    emulator = Emulator(cache_folder(), args.qemu, terminal.track)
    source = _float(args, bundle)
    details: list[str] = []
    counts: list[Count] = []
    with tempfile.TemporaryDirectory(prefix="edgequant-cost-") as folder:
        models = _models(args, bundle, source, Path(folder))
        cpus = _cpus(args, bundle)
        for cpu in terminal.track(cpus, "count instructions", len(cpus)):
            place, found = cost(cpu, models, emulator)
            details.append(place.detail)
            counts += found
    manifest = bundle.manifest
    title = f"{manifest.name} ({manifest.task}) for {manifest.target.name}"
    report = CostReport(str(bundle.folder), title, details[0].partition(" -cpu")[0], tuple(counts))
    if args.json:
        terminal.print_json(report.as_dict())
    else:
        _print(report)
    return 0


def _cpus(args: Namespace, bundle: Bundle) -> list[CpuModel]:
    target = bundle.manifest.target.name
    names = [name.strip() for name in args.isa.split(",")] if args.isa else list(verify_of(bundle.manifest).cpu_models)
    if not names:
        hint = "name CPU models: --isa Haswell,cortex-a72"
        raise UsageError("the bundle's recipe names no CPU model that QEMU emulates", where=target, hint=hint)
    return [cpu_model(name) for name in names]


def _float(args: Namespace, bundle: Bundle) -> Source | None:
    manifest = bundle.manifest
    options = SourceOptions(name=manifest.name, max_length=manifest.tokenizer.max_length)
    if args.float_model is not None:
        source = open_source(args.float_model, options)
    elif manifest.name == DEMO_NAME:
        source = open_source(str(demo_model()), options)
    else:
        return None
    made_of = manifest.provenance.get("model_sha256")
    if made_of != source.digest:
        what, hint = (
            "this is not the float model that the bundle was made of",
            "name the one that was given to quantize",
        )
        raise UsageError(what, where=args.float_model or DEMO_NAME, got=source.digest, expected=made_of, hint=hint)
    return source


def _models(args: Namespace, bundle: Bundle, source: Source | None, folder: Path) -> dict[str, Counted]:
    manifest = bundle.manifest
    asked = [(1, tokens) for tokens in args.tokens] if args.tokens else SHAPES
    shapes = tuple(dict.fromkeys((batch, min(tokens, manifest.tokenizer.max_length)) for batch, tokens in asked))
    path = (bundle.folder / manifest.model.file).resolve()
    models = {INT8: Counted(str(path), manifest.model, manifest.session, shapes)}
    if source is not None:
        written = folder / "fp32.onnx"
        written.write_bytes(source_subject(source).model)
        models = {FP32: Counted(str(written), manifest.model, manifest.session, shapes), **models}
    return models


def _print(report: CostReport) -> None:
    made = terminal.table(
        "CPU", ">tokens", ">fp32, million", ">int8, million", ">fp32 : int8", "int8 arithmetic, million",
        title=f"{report.title}: executed instructions a text ({report.qemu})",
    )  # fmt: skip
    found = {(each.cpu, each.tokens, each.model): each for each in report.counts}
    for cpu, tokens in dict.fromkeys((each.cpu, each.tokens) for each in report.counts):
        int8, fp32 = found[cpu, tokens, INT8], found.get((cpu, tokens, FP32))
        made.add_row(
            cpu,
            str(tokens),
            _million(fp32.instructions) if fp32 else "",
            _million(int8.instructions),
            f"{fp32.instructions / int8.instructions:.2f}" if fp32 else "",
            _kinds(int8),
        )
    terminal.print_table(made)
    told = [] if any(each.model == FP32 for each in report.counts) else ["fp32 was not counted: name the float model."]
    terminal.out().print("\n".join(["", NOTE, *told]), soft_wrap=True, markup=False)


def _kinds(count: Count) -> str:
    return ", ".join(f"{kind} {_million(number)}" for kind, number in count.int8.items())


def _million(number: int) -> str:
    return f"{number / 1e6:.1f}"
