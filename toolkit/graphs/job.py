"""The main job for a graph of arrays: prepare → observe → choose → gate → bundle."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from toolkit import gate
from toolkit.gate import GateReport, file_info
from toolkit.graphs import judging
from toolkit.graphs.bundling import Content, write_bundle
from toolkit.graphs.calibrating import observe
from toolkit.graphs.choosing import Trials, choose
from toolkit.graphs.feeds import Feeds, check_disjoint, spread
from toolkit.graphs.golden import golden_rows
from toolkit.graphs.measuring import measure
from toolkit.graphs.preparing import FloatGraph
from toolkit.graphs.quantizing import Layer, seen, tensors_of
from toolkit.graphs.selecting import judged_outputs, showing, without
from toolkit.limits import Bounds
from toolkit.progress import Track, silent
from toolkit.runtime.manifest import FileInfo, SessionInfo
from toolkit.runtime.tensor_manifest import TASK, TensorModelInfo
from toolkit.runtime.tensors import TensorModel
from toolkit.targets import Decision, Recipe

MODEL = "model.onnx"
TRIAL_SAMPLES = 48
QUICK_SAMPLES = 8
"""Of the calibration set, to choose layers by."""
CLOSENESS = ("cosine_mean", "cosine_min", "sqnr_db")
"""What so few samples tell something about."""


@dataclass(frozen=True)
class Job:
    """What is quantized, for what, on which data, and with how many threads (None: all there are)."""

    graph: FloatGraph
    layers: tuple[Layer, ...]
    recipe: Recipe
    calibration: Feeds
    evaluation: Feeds
    threads: int | None = None
    decision: Decision | None = None  # None: as the recipe says


@dataclass(frozen=True)
class Quantized:
    """The int8 model with its report, not yet written anywhere."""

    job: Job
    content: Content

    @property
    def report(self) -> GateReport:
        """Return the gate's report."""
        return self.content.report


def quantize(job: Job, track: Track = silent) -> Quantized:
    """Quantize and judge; the report may say that the gate failed.

    Raises ModelError where onnxruntime cannot do it, DataError for sets that overlap, NumericsError for outputs that
    are NaN or infinite.
    """
    graph, recipe = job.graph, job.recipe
    digest = check_disjoint(job.calibration, job.evaluation)
    bench = _Bench(job)
    ranges = observe(graph, tensors_of(graph, job.layers), job.calibration, job.threads, track)
    limits = recipe.gate.limits(TASK)
    trial_limits = {name: stricter(name, limit) for name, limit in limits.items() if name in CLOSENESS}
    samples = [job.calibration.taking(spread(len(job.calibration), most)) for most in (TRIAL_SAMPLES, QUICK_SAMPLES)]
    trials = Trials(*(partial(bench.report, some, "", trial_limits, gate.Rules("point")) for some in samples))
    chosen = choose(bench.shown, seen(job.layers, ranges, graph.name), ranges, trials, track)
    rules = gate.Rules(job.decision or recipe.gate.decision, recipe.gate.confidence)
    report = bench.report(job.evaluation, digest, limits, rules, chosen.model, track)
    chosen = replace(chosen, model=without(chosen.model, graph))
    golden = golden_rows(bench.shipped(chosen.model), job.calibration)
    return Quantized(
        job, Content(graph, recipe, job.calibration, job.evaluation, digest, chosen, bench.info, golden, report)
    )


def stricter(metric: str, limit: Bounds) -> Bounds:
    """Return a limit for half the error: few samples stand for all that will come."""
    if limit.min is None:
        return limit
    return Bounds(min=limit.min + 3 if metric == "sqnr_db" else 1 - (1 - limit.min) / 2)


class _Bench:
    """The float model, loaded once, and what int8 models are compared with it by."""

    def __init__(self, job: Job) -> None:
        self._job = job
        graph = job.graph
        judged = judged_outputs(graph, job.layers)
        self.shown = showing(graph, judged)
        self.info = TensorModelInfo(MODEL, graph.inputs, graph.outputs)
        self._judged = tuple(tensor.name for tensor in judged)
        self._told = TensorModelInfo(MODEL, graph.inputs, self.shown.outputs)
        self._fp32 = TensorModel(self.shown.model, self._told, SessionInfo(), job.threads)
        self._scores = judging.scores_of(graph.proto())

    def shipped(self, model: bytes) -> TensorModel:
        """Return an int8 model as the runtime runs it."""
        return TensorModel(model, self.info, self._job.recipe.runtime.session_info(), self._job.threads)

    def report(
        self, feeds: Feeds, digest: str, limits: Mapping[str, Bounds], rules: gate.Rules, model: bytes,
        track: Track = silent,
    ) -> GateReport:  # fmt: skip
        """Judge an int8 model on samples."""
        graph = self._job.graph
        int8 = TensorModel(model, self._told, self._job.recipe.runtime.session_info(), self._job.threads)
        rows = measure((self._fp32, int8), feeds, self._judged, track)
        files = (FileInfo(graph.digest, graph.bytes_read), file_info(without(model, graph)))
        subject = judging.Subject(graph.name, files, self._scores)
        return judging.judge(subject, judging.Evidence(feeds, rows, digest), limits, rules)


def write(quantized: Quantized, out: Path, *, overwrite: bool = False, keep_rejected: bool = False) -> Path:
    """Write the bundle and return its folder.

    Raises GateError, and writes nothing under ``out``, when the gate failed; on request the bundle is then kept as
    ``OUT.rejected``. Raises UsageError when ``out`` exists and may not be replaced.
    """
    report = quantized.report
    if report.passed:
        write_bundle(out, quantized.content, replace=overwrite)
        return out
    hint = "give more or other calibration samples, or say --keep-rejected to look at the bundle"
    keep = partial(write_bundle, content=quantized.content, replace=True) if keep_rejected else None
    raise gate.unwritten(report, f"{quantized.job.graph.name} for {quantized.job.recipe.name}", out, hint, keep)
