"""``edgequant quantize`` for an ONNX model that is no text encoder: arrays in place of texts."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import onnx

from toolkit.cli import outputs, terminal
from toolkit.cli.bundle_output import packed, show, show_next
from toolkit.cli.existing import refuse_existing
from toolkit.errors import GateError, UsageError
from toolkit.graphs import bundling, job, timing
from toolkit.graphs.feeds import Feeds, read_feeds, split
from toolkit.graphs.preparing import FloatGraph, open_graph
from toolkit.graphs.quantizing import layers_of
from toolkit.report.page import Page, layers, provenance
from toolkit.report.parts import parts
from toolkit.runtime.manifest import INPUTS
from toolkit.runtime.tensor_files import FORMATS
from toolkit.targets import Recipe

OF_TEXTS = (
    "bits", "columns", "engine", "max_length", "normalize", "on", "pooling", "revision", "task", "tokenizer", "tune",
    "tuning",
)  # fmt: skip
"""What of the command's options says something about texts or where text models come from."""


def is_graph(model: str | None, calibration: str | None) -> bool:
    """Tell whether a model is an ONNX file that takes other inputs than a text encoder, or is given arrays."""
    path = Path(model or "").expanduser()
    if path.suffix != ".onnx" or not path.is_file():
        return False
    if calibration is not None and (calibration.endswith(FORMATS) or _holds_arrays(calibration)):
        return True
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception:  # noqa: BLE001 - whoever opens it says what is wrong with it
        return False
    names = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    return bool(graph.node) and not ("input_ids" in names and names <= set(INPUTS))


def run(args: Namespace, recipe: Recipe) -> int:
    """Quantize, judge, write and report; exit 3 if the gate failed."""
    given = next((name for name in OF_TEXTS if getattr(args, name)), None)
    if given:
        option = f"--{given.replace('_', '-')}"
        raise UsageError(f"{option} is for text models, and this ONNX model is none", where=args.model)
    graph = open_graph(Path(args.model).expanduser(), args.name)
    out = args.out or Path("out") / f"{graph.name}-{recipe.name}"
    refuse_existing(args, out)
    found = layers_of(graph, recipe.quantization)
    calibration, evaluation = _feeds(args, graph)
    work = job.Job(graph, found, recipe, calibration, evaluation, args.threads, args.decision)
    made = job.quantize(work, terminal.track)
    content = made.content
    session = recipe.runtime.session_info()
    models = (graph.model, content.chosen.model)
    speeds = () if args.no_speed else (timing.compare(models, content.info, session, content.evaluation),)
    if outputs.wanted(args):
        outputs.write(args, _page(made))
    timed = {"speed": [vars(one) for one in speeds]}
    told = (args, f"{graph.name} for {recipe.name}", made.report, _facts(made, speeds), timed)
    try:
        folder = job.write(made, out, overwrite=args.force, keep_rejected=args.keep_rejected)
    except GateError:
        show(*told, (None, None))
        raise
    show(*told, (folder, packed(folder, args.archive)))
    if not args.json:
        show_next(recipe, folder, f"edgequant run {folder} INPUTS.npz -o OUTPUTS.npz")
    return 0


def _holds_arrays(spec: str) -> bool:
    path = Path(spec)
    return path.is_dir() and any(file.suffix in FORMATS for file in path.iterdir())


def _feeds(args: Namespace, graph: FloatGraph) -> tuple[Feeds, Feeds]:
    """Return what calibrates and what judges; without an evaluation set each half of the one there is."""
    if args.calibration is None:
        hint = "say --calibration inputs.npz, with an array for each input whose first axis is the samples"
        expected = ", ".join(map(str, graph.inputs))
        raise UsageError("an ONNX model that is no text encoder is calibrated on arrays", where=args.model,
                         got="no --calibration", expected=expected, hint=hint)  # fmt: skip
    calibration = read_feeds(args.calibration, graph.inputs, args.calibration_samples)
    if args.eval is not None:
        return calibration, read_feeds(args.eval, graph.inputs, args.eval_samples)
    said = "no --eval: every other calibration sample is held back, and int8 is judged on those"
    terminal.err().print(said, soft_wrap=True)
    return split(calibration)


def _page(made: job.Quantized) -> Page:
    content = made.content
    return Page(
        report=made.report,
        target=content.recipe.name,
        layers=layers(bundling.decided(content.chosen)),
        parts=parts(content.graph.model, content.chosen.model),
        provenance=provenance(bundling.provenance(content)),
    )


def _facts(made: job.Quantized, speeds: Sequence[timing.SampleSpeed]) -> list[str]:
    content = made.content
    found = content.chosen.layers
    int8 = sum(layer.int8 for layer in found)
    size = f"{content.graph.bytes_read / 1e6:.1f} MB → {len(content.chosen.model) / 1e6:.1f} MB"
    return [
        f"size      {size}",
        f"layers    {int8} of {len(found)} layers with weights in int8 (edgequant inspect tells why)",
        *(f"speed-up  {one.ratio:.2f}x (one sample; CPU time of one thread, on this CPU)" for one in speeds),
    ]
