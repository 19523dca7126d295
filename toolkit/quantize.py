"""The main job: lower → observe → plan → apply → gate → bundle, for one float model and one target."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolkit import gate
from toolkit.apply import apply
from toolkit.bundle import Content, tokenizer_info, write_bundle
from toolkit.errors import EmptySetError
from toolkit.feeds import equal_length_feeds
from toolkit.gate import GateReport, Proven
from toolkit.golden import golden_vectors
from toolkit.lower import lower
from toolkit.observe import observe
from toolkit.plan import QuantPlan, plan
from toolkit.progress import Track, silent
from toolkit.runtime.manifest import ModelInfo
from toolkit.runtime.tokenization import Text, TextTokenizer
from toolkit.samples import Samples, check_disjoint
from toolkit.sources.source import Source
from toolkit.subjects import source_subject
from toolkit.targets import Decision, Recipe
from toolkit.tuning.measurement import Measurement
from toolkit.tuning.rewrite import with_forms


@dataclass(frozen=True)
class Job:
    """What is quantized, for what, on which data, and with how many threads (None: all there are)."""

    source: Source
    recipe: Recipe
    calibration: Samples
    evaluation: Samples
    threads: int | None = None
    decision: Decision | None = None  # None: as the recipe says
    on: Proven | None = None  # where int8 is judged; None: on this CPU
    measurement: Measurement | None = None  # that the recipe's forms come from; None: they are the recipe's own


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
    decided = _plan(job, track)
    fp32 = source_subject(source)
    int8 = ir.to_proto(decided[1]).SerializeToString()
    subject = source_subject(source, int8, recipe.runtime.session_info())
    rules = gate.Rules(job.decision or recipe.gate.decision, recipe.gate.confidence)
    elsewhere = None if job.on is None else job.on.elsewhere(subject, job.threads, track)
    trial = gate.Trial(job.evaluation, recipe.gate.limits(source.task), rules, job.threads, elsewhere)
    report = gate.compare(fp32, subject, trial, track)
    golden = golden_vectors(subject.loaded(job.threads), source.task)
    content = Content(
        source,
        recipe,
        job.calibration,
        job.evaluation,
        decided[0],
        int8,
        fp32.info,
        golden,
        report,
        measurement=job.measurement,
    )
    return Quantized(job, fp32.model, fp32.info, content)


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


def _plan(job: Job, track: Track) -> tuple[QuantPlan, ir.Model]:
    tokenizer = TextTokenizer(job.source.tokenizer_json, tokenizer_info(job.source))
    texts = [encoded for encoded in tokenizer.encode(_calibration_texts(job)) if encoded.ids]
    if not texts:
        raise EmptySetError("the calibration set is empty", where=job.calibration.name, hint="give a few hundred texts")
    inputs = [str(value.name) for value in job.source.model.graph.inputs]
    lowered = lower(job.source.model)
    ranges = observe(lowered, equal_length_feeds(texts, inputs), track)
    decided = plan(lowered, ranges, job.recipe.quantization, track)
    return decided, with_forms(apply(lowered, decided), job.recipe.forms)


def _calibration_texts(job: Job) -> list[Text]:
    """Return what the graph is observed on: texts, or pairs of them where that is what the model will read."""
    texts, pairs = job.calibration.texts, job.calibration.pairs
    if not reads_pairs(job.source, job.evaluation):
        return list(texts)
    return list(zip(texts, pairs or (*texts[1:], texts[0]), strict=True))  # single texts: each with the next


def reads_pairs(source: Source, evaluation: Samples) -> bool:
    """Tell whether a model reads two texts together, as a reranker does, or a classifier that is judged on pairs."""
    return source.task == "reranking" or (source.task == "classification" and evaluation.pairs is not None)
