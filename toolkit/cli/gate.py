"""``edgequant gate``: is an int8 model as good as its float model? Yes or no by the exit status, with a report."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from toolkit.cli import causal, inputs, outputs, terminal
from toolkit.cli.reach import add_on, place_to_judge_on
from toolkit.cli.report import bundle_page, page_of, stored_page
from toolkit.cli.verdict_tables import gate_table, trend_table
from toolkit.errors import UsageError
from toolkit.gate import Elsewhere, GateReport, Rules, Subject, Trial, against, compare, refusal
from toolkit.isa.choose import verify_of
from toolkit.report.page import Page
from toolkit.report.parts import parts
from toolkit.runtime.bundle import Bundle, open_bundle
from toolkit.runtime.manifest import FILE_NAME
from toolkit.runtime.options import positive
from toolkit.sources import DEMO_NAME, Source, SourceOptions, demo_model, is_causal, open_source
from toolkit.sources.causal import TASK
from toolkit.subjects import bundle_subject, source_subject
from toolkit.targets import Gate, load_limits, load_recipe, recipe_files

DEFAULT_LIMITS = "x86-avx2"
HINT = "look at the worst rows in the report (--html FILE)"


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", metavar="MODEL", help="what is judged: a bundle, or an int8 .onnx file or folder")
    parser.add_argument(
        "float_model",
        metavar="FLOAT",
        nargs="?",
        help=f"the float model: a folder, an .onnx file, or a hub id (default: {DEMO_NAME} for a bundle made of it)",
    )
    parser.add_argument(
        "--limits",
        metavar="LIMITS",
        help="a FILE.toml, or a target whose limits hold (default: those of the bundle's target)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="PREVIOUS",
        help="an earlier report (JSON) or bundle on the same set: fail where a metric became worse",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads (default: all of this process)")
    add_on(parser)
    inputs.add_data(parser)
    inputs.add_model(parser)
    outputs.configure(parser)


def run(args: Namespace) -> int:
    """Judge and report; exit 3 unless the gate passed."""
    outputs.check(args)
    against_page = bundle_page if args.against is not None and args.against.is_dir() else stored_page
    previous = None if args.against is None else against_page(args.against).report
    bundle = open_bundle(args.model) if (Path(args.model) / FILE_NAME).is_file() else None
    if _generates(args, bundle):
        return _causal(args, bundle, previous)
    fp32, int8 = _subjects(args, bundle)
    limits = _limits(args, bundle)
    rules = Rules(args.decision or limits.decision, limits.confidence)
    task = fp32.judged.task
    samples, elsewhere = inputs.evaluation(args, fp32.judged), _elsewhere(args, bundle, int8)
    trial = Trial(samples, limits.limits(task), rules, args.threads, elsewhere)
    report = compare(fp32, int8, trial, terminal.track)
    if previous is not None:
        report = against(report, previous)
    _show(args, report)
    if outputs.wanted(args):
        outputs.write(args, _page(report, bundle, (fp32.model, int8.model)))
    if not report.passed:
        raise refusal(report, f"{args.model} on {report.dataset}", "", HINT)
    return 0


def _generates(args: Namespace, bundle: Bundle | None) -> bool:
    return is_causal(args.model, inputs.source_options(args, None)) if bundle is None else bundle.manifest.task == TASK


def _causal(args: Namespace, bundle: Bundle | None, previous: GateReport | None) -> int:
    """Judge a causal model; exit 3 unless the gate passed."""
    report, precision = causal.gate(args, inputs.source_options(args, None), _limits(args, bundle))
    if previous is not None:
        report = against(report, previous)
    _show(args, report, precision)
    if outputs.wanted(args):
        outputs.write(args, Page(report))
    if not report.passed:
        raise refusal(report, f"{args.model} on {report.dataset}", "", HINT)
    return 0


def _subjects(args: Namespace, bundle: Bundle | None) -> tuple[Subject, Subject]:
    options = inputs.source_options(args, None)
    if bundle is not None:
        # Both must cut long texts at the same place.
        options = replace(options, max_length=options.max_length or bundle.manifest.tokenizer.max_length)
        int8 = bundle_subject(bundle)
    else:
        int8 = source_subject(open_source(args.model, replace(options, quantized=True, name=args.name)))
    return source_subject(_float(args, bundle, options)), int8


def _float(args: Namespace, bundle: Bundle | None, options: SourceOptions) -> Source:
    if args.float_model is not None:
        return open_source(args.float_model, options)
    if bundle is not None and bundle.manifest.name == DEMO_NAME:
        demo = open_source(str(demo_model()), replace(options, name=DEMO_NAME))
        if demo.digest == bundle.manifest.provenance.get("model_sha256"):
            return demo
    hint = "name the model that it was made of: edgequant gate MODEL FLOAT"
    raise UsageError("there is no float model to judge by", where=args.model, hint=hint)


def _limits(args: Namespace, bundle: Bundle | None) -> Gate:
    if args.limits is not None:
        return load_limits(args.limits)
    target = DEFAULT_LIMITS if bundle is None else bundle.manifest.target.name
    return load_recipe(target if target in recipe_files() else DEFAULT_LIMITS).gate


def _page(report: GateReport, bundle: Bundle | None, models: tuple[bytes, bytes]) -> Page:
    return Page(report, parts=parts(*models)) if bundle is None else page_of(bundle, report, models)


def _elsewhere(args: Namespace, bundle: Bundle | None, int8: Subject) -> Elsewhere | None:
    """Return the place that ``--on`` names; a model that is no bundle has the kernels of the default target."""
    target = load_recipe(DEFAULT_LIMITS).verify if bundle is None else verify_of(bundle.manifest)
    found = place_to_judge_on(args.on, target, args.qemu)
    return None if found is None else found.elsewhere(int8, args.threads, terminal.track)


def _show(args: Namespace, report: GateReport, precision: str = "int8") -> None:
    if args.json:
        terminal.print_json(report.as_dict())
        return
    terminal.print_table(gate_table(report, report.model.name, precision))
    if report.trend:
        terminal.print_table(trend_table(report, str(args.against)))
