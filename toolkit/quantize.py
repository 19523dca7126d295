"""The main job: lower → observe → plan → apply → gate → bundle, for one float model and one target."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolkit import gate
from toolkit.apply import apply
from toolkit.bundle import MODEL, Content, file_info, tokenizer_info, write_bundle
from toolkit.errors import DataError, ModelError
from toolkit.feeds import equal_length_feeds
from toolkit.gate import Evidence, GateReport
from toolkit.golden import golden_vectors
from toolkit.lower import lower
from toolkit.observe import observe
from toolkit.plan import QuantPlan, plan
from toolkit.progress import Track, silent
from toolkit.runtime.manifest import ModelInfo, SessionInfo
from toolkit.runtime.model import TextModel
from toolkit.runtime.tokenization import Text, TextTokenizer
from toolkit.samples import Samples, check_disjoint
from toolkit.sources.source import Source
from toolkit.targets import Decision, Recipe


@dataclass(frozen=True)
class Job:
    """What is quantized, for what, on which data, and with how many threads (None: all there are)."""

    source: Source
    recipe: Recipe
    calibration: Samples
    evaluation: Samples
    threads: int | None = None
    decision: Decision | None = None  # None: as the recipe says


@dataclass(frozen=True)
class Quantized:
    """The int8 model with its report, not yet written anywhere."""

    job: Job
    fp32: bytes
    info: ModelInfo
    content: Content

    @property
    def report(self) -> GateReport:
        """Return the gate's report."""
        return self.content.report


def quantize(job: Job, track: Track = silent) -> Quantized:
    """Quantize and judge; the report may say that the gate failed.

    Raises DataError for sets that overlap or are empty, NumericsError for NaN or infinity.
    """
    source, recipe = job.source, job.recipe
    check_disjoint(job.calibration, job.evaluation)
    inputs = tuple(str(value.name) for value in source.model.graph.inputs)
    info = ModelInfo(MODEL, inputs, source.output, _dimension(source))
    decided = _plan(job, inputs, track)
    fp32 = ir.to_proto(source.model).SerializeToString()
    int8 = ir.to_proto(decided[1]).SerializeToString()
    models = (
        text_model(source, fp32, info, SessionInfo(), job.threads),
        text_model(source, int8, info, recipe.runtime.session_info(), job.threads),
    )
    reading = gate.reading_of(source, job.evaluation)
    lengths = gate.lengths_of(TextTokenizer(source.tokenizer_json, tokenizer_info(source)), reading.texts)
    outputs = gate.outputs_for(models, reading, track)
    evidence = Evidence(job.evaluation, outputs, (file_info(fp32), file_info(int8)), lengths)
    rules = gate.Rules(job.decision or recipe.gate.decision, recipe.gate.confidence)
    report = gate.judge(source, evidence, recipe.gate.limits(source.task), rules)
    golden = golden_vectors(models[1], source.task)
    content = Content(source, recipe, job.calibration, job.evaluation, decided[0], int8, info, golden, report)
    return Quantized(job, fp32, info, content)


def write(quantized: Quantized, out: Path, *, replace: bool = False, keep_rejected: bool = False) -> Path:
    """Write the bundle and return its folder.

    Raises GateError, and writes nothing under ``out``, when the gate failed; on request the bundle is then kept as
    ``OUT.rejected``. Raises UsageError when ``out`` exists and may not be replaced.
    """
    report = quantized.report
    if report.passed:
        write_bundle(out, quantized.content, replace=replace)
        return out
    hint = "give more or other calibration texts, or say --keep-rejected to look at the bundle"
    if keep_rejected and all(np.isfinite(row).all() for row in quantized.content.golden.outputs):  # JSON holds no NaN
        rejected = out.with_name(f"{out.name}.rejected")
        write_bundle(rejected, quantized.content, replace=True)
        hint = f"the rejected bundle is {rejected}"
    where = f"{quantized.job.source.name} for {quantized.job.recipe.name} on {report.dataset}"
    raise gate.refusal(report, where, ", so no bundle was written", hint)


def text_model(source: Source, model: bytes, info: ModelInfo, session: SessionInfo, threads: int | None) -> TextModel:
    """Return a model of a source, run as the runtime runs it."""
    return TextModel(model, source.tokenizer_json, info, tokenizer_info(source), session, threads)


def _plan(job: Job, inputs: Sequence[str], track: Track) -> tuple[QuantPlan, ir.Model]:
    tokenizer = TextTokenizer(job.source.tokenizer_json, tokenizer_info(job.source))
    texts = [encoded for encoded in tokenizer.encode(_calibration_texts(job)) if encoded.ids]
    if not texts:
        raise DataError("the calibration set is empty", where=job.calibration.name, hint="give a few hundred texts")
    lowered = lower(job.source.model)
    ranges = observe(lowered, equal_length_feeds(texts, inputs), track)
    decided = plan(lowered, ranges, job.recipe.quantization, track)
    return decided, apply(lowered, decided)


def _calibration_texts(job: Job) -> list[Text]:
    """Return what the graph is observed on: texts, or pairs of them where that is what the model will read."""
    texts, pairs = job.calibration.texts, job.calibration.pairs
    if not reads_pairs(job.source, job.evaluation):
        return list(texts)
    return list(zip(texts, pairs or (*texts[1:], texts[0]), strict=True))  # single texts: each with the next


def reads_pairs(source: Source, evaluation: Samples) -> bool:
    """Tell whether a model reads two texts together, as a reranker does, or a classifier that is judged on pairs."""
    return source.task == "reranking" or (source.task == "classification" and evaluation.pairs is not None)


def _dimension(source: Source) -> int:
    if source.labels:
        return len(source.labels)
    shape = source.model.graph.outputs[0].shape
    if shape is None or not isinstance(shape[-1], int):
        raise ModelError("the width of the output is unknown", where=source.output, hint="export it with shapes")
    return shape[-1]
