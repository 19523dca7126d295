"""``edgequant quantize``: the main job, from a float model to a gated bundle and what to type next."""

import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, get_args

from toolkit import archive, bundle, speed
from toolkit import quantize as job
from toolkit.atomic import refuse_existing
from toolkit.cli import outputs, terminal
from toolkit.cli.reach import add_on, place_to_judge_on
from toolkit.cli.report import DECISION_HELP, gate_table
from toolkit.decisions import decisions
from toolkit.errors import DataError, GateError, UsageError
from toolkit.gate import require_labels, require_tags
from toolkit.isa.native import why_not_native
from toolkit.report.page import Page, layers, provenance
from toolkit.report.parts import parts
from toolkit.runtime import cpu
from toolkit.runtime.manifest import Task
from toolkit.runtime.options import positive
from toolkit.samples import Samples, default_set, load_samples, shipped_sets
from toolkit.sources import DEMO_NAME, Source, SourceOptions, demo_model, open_source
from toolkit.targets import Decision, Recipe, load_recipe, recipe_files

ROLES = ("text", "text2", "label", "score", "tags")
TRY: dict[Task, str] = {
    "embedding": "echo 'a sentence' | edgequant embed {}",
    "classification": "echo 'a sentence' | edgequant classify {}",
    "reranking": "echo 'a text' | edgequant rerank {} --query 'a question'",
    "token-classification": "echo 'Ada met Bob in Paris' | edgequant entities {}",
}
TERMINATED = 143  # 128 + SIGTERM


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help=f"a Hugging Face folder, an .onnx file, or a hub id (default: {DEMO_NAME}, which is embedded)",
    )
    parser.add_argument(
        "-t",
        "--target",
        required=True,
        metavar="TARGET",
        help=f"one of {', '.join(recipe_files())}, or a recipe.toml",
    )
    parser.add_argument("-o", "--out", type=Path, metavar="OUT", help="the bundle's folder (default: out/NAME-TARGET)")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is a bundle")
    parser.add_argument("--archive", choices=("gz", "zst"), help="also write OUT.tar.gz or OUT.tar.zst")
    parser.add_argument("--keep-rejected", action="store_true", help="if the gate fails, keep OUT.rejected to look at")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--no-speed", action="store_true", help="do not time fp32 against int8")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads (default: all of this process)")
    add_on(parser)
    _add_data(parser)
    _add_model(parser)
    outputs.configure(parser)


def _add_data(parser: ArgumentParser) -> None:
    data = parser.add_argument_group("data", "NAME of a shipped set, FILE (csv, tsv, jsonl, parquet, txt), or hub:ID")
    data.add_argument("--calibration", metavar="SET", help="texts like those of the app (default: by task)")
    data.add_argument("--eval", metavar="SET", help="other texts, to judge the result on (default: by task)")
    data.add_argument(
        "--columns",
        type=_columns,
        metavar="ROLE=COLUMN,…",
        help="columns of your files: text, text2, label, score, tags (default: by the usual names)",
    )
    data.add_argument("--calibration-samples", type=positive, metavar="N", help="use at most N texts")
    data.add_argument("--eval-samples", type=positive, metavar="N", help="use at most N rows")
    data.add_argument("--decision", choices=get_args(Decision), help=DECISION_HELP)


def _add_model(parser: ArgumentParser) -> None:
    model = parser.add_argument_group("model", "where its own files leave it open, or are wrong")
    model.add_argument("--task", choices=get_args(Task))
    model.add_argument("--pooling", choices=("mean", "cls", "max"))
    model.add_argument("--normalize", action="store_true", default=None, help="embeddings of length 1")
    model.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json")
    model.add_argument("--max-length", type=positive, metavar="TOKENS")
    model.add_argument("--name", help="the bundle's name")


def run(args: Namespace) -> int:
    """Quantize, judge, write and report; exit 3 if the gate failed."""
    signal.signal(signal.SIGTERM, _terminate)
    outputs.check(args)
    recipe = load_recipe(args.target)
    if args.model == "":
        raise UsageError("the name of the model is empty", hint=f"leave it out to take {DEMO_NAME}")
    model = args.model or str(demo_model())
    name = args.name or (None if args.model else DEMO_NAME)
    if args.out is not None:
        _refuse_existing(args, args.out)
    options = SourceOptions(args.task, args.pooling, args.normalize, args.tokenizer, args.max_length, name)
    source = open_source(model, options)
    out = args.out or Path("out") / f"{source.name}-{recipe.name}"
    _refuse_existing(args, out)
    calibration, evaluation = _samples(args, source)
    on = place_to_judge_on(args.on, recipe.verify, args.qemu)
    work = job.Job(source, recipe, calibration, evaluation, args.threads, args.decision, on)
    made = job.quantize(work, terminal.track)
    speeds = () if args.no_speed else _time(made)
    if outputs.wanted(args):
        outputs.write(args, _page(made, speeds))
    try:
        folder = job.write(made, out, replace=args.force, keep_rejected=args.keep_rejected)
    except GateError:
        _report(args, made, speeds, None, None)
        raise
    archived = _archive(folder, args.archive)
    _report(args, made, speeds, folder, archived)
    if not args.json:
        _next(source, recipe, folder)
    return 0


def _refuse_existing(args: Namespace, out: Path) -> None:
    refuse_existing(out, replace=args.force)
    packed = archive.archive_path(out, args.archive) if args.archive else None
    if packed is not None and os.path.lexists(packed) and (packed.is_dir() or not args.force):
        hint = "choose another name" + ("" if packed.is_dir() else ", or say --force to replace it")
        raise UsageError("the archive exists", where=packed, hint=hint)


def _samples(args: Namespace, source: Source) -> tuple[Samples, Samples]:
    default = default_set(source.task)
    evaluation = load_samples(args.eval or default, "evaluation", _columns_of(args, args.eval), args.eval_samples)
    if args.eval is not None:
        require_labels(source, evaluation)
        require_tags(source, evaluation)
    if source.task == "reranking" and evaluation.pairs is None:
        hint = "name the column of the second text: --columns text=query,text2=passage,score=relevance"
        raise DataError("a reranker is judged on pairs of texts", where=evaluation.name, hint=hint)
    calibration = load_samples(
        args.calibration or default,
        "calibration",
        _columns_of(args, args.calibration, ("text", "text2")),
        args.calibration_samples,
        pairs=job.reads_pairs(source, evaluation),
    )
    return calibration, evaluation


def _columns_of(args: Namespace, spec: str | None, roles: Sequence[str] = ROLES) -> dict[str, str] | None:
    """Return the columns that the user named: they are those of the user's own files that have columns."""
    shipped = spec is None or spec in {info.name for info in shipped_sets()}
    if shipped or args.columns is None or str(spec).lower().endswith(".txt"):
        return None
    return {role: column for role, column in args.columns.items() if role in roles}


def _time(made: job.Quantized) -> tuple[speed.Speed, ...]:
    content = made.content
    session, source = content.recipe.runtime.session_info(), content.source
    by_token = source.task == "token-classification"
    models = (made.fp32, content.model)
    return speed.compare(models, made.info, session, source.max_length, terminal.track, by_token=by_token)


def _page(made: job.Quantized, speeds: tuple[speed.Speed, ...]) -> Page:
    content = made.content
    return Page(
        report=made.report,
        target=content.recipe.name,
        layers=layers(decisions(content.plan)),
        parts=parts(made.fp32, content.model),
        speeds=speeds,
        provenance=provenance(bundle.provenance(content)),
    )


def _archive(folder: Path, compression: archive.Compression | None) -> Path | None:
    if compression is None:
        return None
    out = archive.archive_path(folder, compression)
    archive.write_archive(folder, out, compression)
    return out


def _report(
    args: Namespace, made: job.Quantized, speeds: tuple[speed.Speed, ...], folder: Path | None, archived: Path | None
) -> None:
    report = made.report
    if args.json:
        written = {name: None if path is None else str(path) for name, path in (("out", folder), ("archive", archived))}
        terminal.print_json({**written, "gate": report.as_dict(), "speed": [vars(item) for item in speeds]})
        return
    terminal.print_table(gate_table(report, f"{made.job.source.name} for {made.job.recipe.name}"))
    lines = ["", *_facts(made, speeds)]
    lines += [f"{name:9} {path}" for name, path in (("bundle", folder), ("archive", archived)) if path]
    terminal.out().print("\n".join(lines), soft_wrap=True)


def _facts(made: job.Quantized, speeds: tuple[speed.Speed, ...]) -> list[str]:
    content = made.content
    layers = content.plan.linears
    int8 = sum(layer.int8 is not None for layer in layers)
    ratios = "  ".join(f"{item.ratio:.2f}x at {item.batch}x{item.length}" for item in speeds)
    lines = [
        f"size      {len(made.fp32) / 1e6:.1f} MB → {len(content.model) / 1e6:.1f} MB",
        f"layers    {int8} of {len(layers)} linear layers in int8 (edgequant inspect tells why)",
    ]
    if ratios:
        lines.append(f"speed-up  {ratios} (batch x tokens; CPU time of one thread, on this CPU)")
    return lines


def _next(source: Source, recipe: Recipe, folder: Path) -> None:
    lines = [
        "",
        "next:",
        f"  {TRY[source.task].format(folder)}",
        f"  edgequant inspect {folder}",
    ]
    here = not why_not_native(recipe.verify.isa, cpu.architecture(), cpu.features())
    lines.append(f"  edgequant verify {folder}" + ("" if here else " --isa target"))
    terminal.out().print("\n".join(lines), soft_wrap=True, markup=False)


def _columns(text: str) -> dict[str, str]:
    pairs = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if not pairs or len(pairs) != len(text.split(",")) or not set(pairs) <= set(ROLES):
        raise ArgumentTypeError(f"{text!r} is not ROLE=COLUMN,… with the roles {', '.join(ROLES)}")
    return pairs


def _terminate(_signal: int, _frame: FrameType | None) -> Any:  # noqa: ANN401 - as signal.signal wants it
    sys.exit(TERMINATED)  # unwinds, so that what is half written goes away
