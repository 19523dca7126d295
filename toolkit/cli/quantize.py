"""``edgequant quantize``: the main job, from a float model to a gated bundle and what to type next."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from toolkit import bundle, ending, speed
from toolkit import quantize as job
from toolkit.cli import causal, inputs, outputs, precision, quantize_graph, terminal, tune
from toolkit.cli.bundle_output import packed, show, show_next
from toolkit.cli.engines import add_engine, add_pythons, engine_of, pythons
from toolkit.cli.existing import refuse_existing
from toolkit.cli.reach import add_on, place_to_judge_on
from toolkit.engines.catalog import python_of
from toolkit.errors import GateError, UsageError
from toolkit.report.page import Page, layers, mixed, provenance
from toolkit.report.parts import parts
from toolkit.runtime.manifest import Task
from toolkit.runtime.options import positive
from toolkit.samples import Samples
from toolkit.sets import calibration_set
from toolkit.sources import DEMO_NAME, Source, demo_model, is_causal, open_source
from toolkit.targets import load_recipe, recipe_files
from toolkit.tuning.measurement import described

TRY: dict[Task, str] = {
    "embedding": "echo 'a sentence' | edgequant embed {}",
    "classification": "echo 'a sentence' | edgequant classify {}",
    "reranking": "echo 'a text' | edgequant rerank {} --query 'a question'",
    "token-classification": "echo 'Ada met Bob in Paris' | edgequant entities {}",
    "text-generation": "edgequant generate {} 'Once upon a time'",
}


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
    add_engine(parser)
    add_pythons(parser)
    add_on(parser)
    tune.configure(parser)
    causal.configure(parser)
    precision.configure(parser)
    outputs.configure(parser)
    data = inputs.add_data(parser)
    inputs.add_calibration(data, ", or arrays for a model of other inputs")
    inputs.add_model(parser)


def run(args: Namespace) -> int:
    """Quantize, judge, write and report; exit 3 if the gate failed."""
    ending.unwind_on_sigterm()
    outputs.check(args)
    recipe = load_recipe(args.target)
    engine = engine_of(args, recipe)
    if args.model == "":
        raise UsageError("the name of the model is empty", hint=f"leave it out to take {DEMO_NAME}")
    if quantize_graph.is_graph(args.model, args.calibration):
        precision.refuse(args, "a model that is no text encoder")
        tune.refuse(args, "a model that is no text encoder")
        return quantize_graph.run(args, recipe)
    model = args.model or str(demo_model())
    name = args.name or (None if args.model else DEMO_NAME)
    if args.out is not None:
        refuse_existing(args, args.out)
    budget, options = precision.budget_of(args), inputs.source_options(args, name)
    if is_causal(model, options):
        precision.refuse(args, "a causal model")
        tune.refuse(args, "a causal model")
        return causal.quantize(args, recipe, options)
    source = open_source(model, options)
    recipe = precision.recipe_for(args, recipe, budget, source.task)
    out = args.out or Path("out") / f"{source.name}-{recipe.name}"
    refuse_existing(args, out)
    calibration, evaluation = _samples(args, source)
    on = place_to_judge_on(args.on, recipe.verify, args.qemu)
    measured = tune.measurement(args, recipe, source)
    work = job.Job(
        source=source,
        recipe=recipe if measured is None else measured.recipe(recipe),
        calibration=calibration,
        evaluation=evaluation,
        threads=args.threads,
        decision=args.decision,
        on=on,
        measurement=measured,
        budget=budget,
        clock=precision.clock(recipe.verify),
        engine=engine,
        engine_python=python_of(engine, pythons(args)),
    )
    made = job.quantize(work, terminal.track)
    speeds = () if args.no_speed else _time(made)
    if outputs.wanted(args):
        outputs.write(args, _page(made, speeds))
    told = (args, f"{source.name} for {recipe.name}", made.report, _facts(made, speeds), _more(made, speeds))
    try:
        folder = job.write(made, out, replace=args.force, keep_rejected=args.keep_rejected)
    except GateError:
        show(*told, (None, None))
        raise
    show(*told, (folder, packed(folder, args.archive)))
    if not args.json:
        show_next(recipe, folder, TRY[source.task].format(folder))
    return 0


def _samples(args: Namespace, source: Source) -> tuple[Samples, Samples]:
    evaluation = inputs.evaluation(args, source)
    return calibration_set(inputs.wanted_calibration(args), source, evaluation), evaluation


def _time(made: job.Quantized) -> tuple[speed.Speed, ...]:
    content = made.content
    session, source = content.recipe.runtime.session_info(), content.source
    by_token = source.task == "token-classification"
    models = (made.fp32, content.model)
    return speed.compare(models, made.info, session, source.max_length, terminal.track, by_token=by_token)


def _page(made: job.Quantized, speeds: tuple[speed.Speed, ...]) -> Page:
    content = made.content
    decided = bundle.decided(content)
    return Page(
        report=made.report,
        target=content.recipe.name,
        layers=layers(decided),
        mixed=mixed(decided),
        parts=parts(made.fp32, content.model),
        speeds=speeds,
        provenance=provenance(bundle.provenance(content)),
    )


def _more(made: job.Quantized, speeds: tuple[speed.Speed, ...]) -> dict[str, object]:
    """Return what the JSON tells beside the gate's report."""
    content = made.content
    found = described(content.recipe.forms, content.measurement)
    fallback = None if content.fallback is None else content.fallback.as_dict()
    return {"speed": [vars(item) for item in speeds], **found, "fallback": fallback}


def _facts(made: job.Quantized, speeds: tuple[speed.Speed, ...]) -> list[str]:
    content = made.content
    ratios = "  ".join(f"{item.ratio:.2f}x at {item.batch}x{item.length}" for item in speeds)
    lines = [
        f"size      {len(made.fp32) / 1e6:.1f} MB → {len(content.model) / 1e6:.1f} MB",
        *_made_by(content),
    ]
    if ratios:
        lines.append(f"speed-up  {ratios} (batch x tokens; CPU time of one thread, on this CPU)")
    return [*lines, *precision.facts(content.fallback)]


def _made_by(content: bundle.Content) -> list[str]:
    plan = content.plan
    if plan.engine != "native":
        return [f"engine    {plan.engine}"]
    int8 = sum(layer.int8 is not None for layer in plan.linears)
    return [
        f"layers    {int8} of {len(plan.linears)} linear layers in int8 (edgequant inspect tells why)",
        *tune.facts(described(content.recipe.forms, content.measurement)),
    ]
