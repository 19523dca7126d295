"""`edgequant quantize` and `gate` for causal language models: from a float model to a gated bundle of the task."""

import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from toolkit import archive, bundle
from toolkit.causal import CausalJob, QuantizedCausal, needs_calibration, quantize_causal, write_causal
from toolkit.causal.decisions import block_decisions
from toolkit.causal.subject import CausalSubject, bundle_subject, compare_causal, source_subject
from toolkit.cli import inputs, outputs, terminal
from toolkit.cli.existing import refuse_existing
from toolkit.cli.verdict_tables import gate_table
from toolkit.errors import GateError, UsageError
from toolkit.gate import GateReport, Rules, Trial
from toolkit.report.page import Page, layers, provenance
from toolkit.runtime.bundle import open_bundle
from toolkit.runtime.manifest import FILE_NAME
from toolkit.samples import Samples, default_set, load_samples
from toolkit.sources import SourceOptions
from toolkit.sources.causal import TASK, CausalSource, open_causal
from toolkit.targets import Gate, Recipe

TRY = "edgequant generate {} 'Once upon a time'"


def configure(parser: ArgumentParser) -> None:
    """Add the options of causal models."""
    group = parser.add_argument_group("causal language models", "with --task text-generation")
    group.add_argument("--bits", type=int, choices=(4, 8), help="of the weights (default: the recipe's)")


def quantize(args: Namespace, recipe: Recipe, options: SourceOptions) -> int:
    """Quantize, judge, write and report; exit 3 if the gate failed."""
    if args.on is not None:
        raise UsageError("a causal model is judged on this CPU", got=f"--on {args.on}", hint="leave --on out")
    with _opened(args.model, options) as (source, work):
        out = args.out or Path("out") / f"{source.name}-{recipe.name}"
        refuse_existing(args, out)
        evaluation = inputs.evaluation(args, source)
        calibration = _calibration(args) if needs_calibration(recipe, args.bits) else None
        (work / "quantized").mkdir()
        job = CausalJob(
            source, recipe, calibration, evaluation, work / "quantized", args.bits, args.threads, args.decision
        )
        made = quantize_causal(job, terminal.track)
        if outputs.wanted(args):
            outputs.write(args, _page(made))
        try:
            folder = write_causal(made, out, replace=args.force, keep_rejected=args.keep_rejected)
        except GateError:
            _report(args, made, {})
            raise
    packed = None
    if args.archive:
        packed = archive.archive_path(folder, args.archive)
        archive.write_archive(folder, packed, args.archive)
    _report(args, made, {"out": folder, "archive": packed})
    return 0


def gate(args: Namespace, options: SourceOptions, limits: Gate) -> tuple[GateReport, str]:
    """Judge a bundle, or a folder of onnxruntime-genai, by its float model; return the report and the precision."""
    if args.on is not None:
        raise UsageError("a causal model is judged on this CPU", got=f"--on {args.on}", hint="leave --on out")
    if args.float_model is None:
        hint = "name the model that it was made of: edgequant gate MODEL FLOAT"
        raise UsageError("there is no float model to judge by", where=args.model, hint=hint)
    with _opened(args.float_model, options) as (source, work):
        fp32, int8 = source_subject(source), _quantized(args, options, work)
        trial = Trial(
            inputs.evaluation(args, source),
            limits.limits(TASK, int8.bits),
            Rules(args.decision or limits.decision, limits.confidence),
            args.threads,
        )
        return compare_causal(fp32, int8, trial, terminal.track), f"int{int8.bits}"


def _quantized(args: Namespace, options: SourceOptions, work: Path) -> CausalSubject:
    if (Path(args.model) / FILE_NAME).is_file():
        return bundle_subject(open_bundle(args.model))
    return source_subject(open_causal(args.model, replace(options, name=args.name), work / "other"))


@contextmanager
def _opened(model: str, options: SourceOptions) -> Iterator[tuple[CausalSource, Path]]:
    """Give a model and a folder for the work, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="edgequant-causal-") as folder:
        yield open_causal(model, options, Path(folder)), Path(folder)


def _calibration(args: Namespace) -> Samples:
    columns = inputs.columns_of(args, args.calibration, ("text",))
    return load_samples(args.calibration or default_set(TASK), "calibration", columns, args.calibration_samples)


def _page(made: QuantizedCausal) -> Page:
    return Page(
        report=made.report,
        target=made.job.recipe.name,
        layers=layers(block_decisions(made.plan)),
        provenance=provenance(bundle.provenance(made.facts)),
    )


def _report(args: Namespace, made: QuantizedCausal, written: dict[str, Path | None]) -> None:
    if args.json:
        paths = {name: None if written.get(name) is None else str(written[name]) for name in ("out", "archive")}
        terminal.print_json({**paths, "gate": made.report.as_dict(), "speed": []})
        return
    title = f"{made.job.source.name} for {made.job.recipe.name}"
    terminal.print_table(gate_table(made.report, title, made.facts.precision))
    counts = {bits: sum(layer.blocks.bits == bits for layer in made.plan.layers) for bits in (4, 8)}
    rounding = "plain" if made.facts.calibration is None else "GPTQ"
    sizes, settings = made.report.sizes, made.plan.settings
    lines = [
        "",
        f"size      {sizes.fp32 / 1e6:.1f} MB → {sizes.int8 / 1e6:.1f} MB",
        f"layers    {counts[4]} in 4 bits, {counts[8]} in 8, blocks of {settings.block_size}, {rounding} rounding",
    ]
    lines += [
        f"{name:9} {path}"
        for name, path in (("bundle", written.get("out")), ("archive", written.get("archive")))
        if path
    ]
    if written.get("out"):
        lines += ["", "next:", f"  {TRY.format(written['out'])}", f"  edgequant verify {written['out']}"]
    terminal.out().print("\n".join(lines), soft_wrap=True, markup=False)
