"""The main job: lower → observe → plan → apply → gate → bundle, for one float model and one target."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolkit import fallback, gate
from toolkit.apply import apply
from toolkit.arrange import arrange
from toolkit.bundle import Content, tokenizer_info, write_bundle
from toolkit.engines import calling
from toolkit.engines.catalog import ENGINES, Engine
from toolkit.engines.order import Order, write_feeds
from toolkit.errors import EmptySetError
from toolkit.fallback import Budget, Fallback, LatencyBudget, Tried
from toolkit.feeds import equal_length_feeds
from toolkit.gate import GateReport, Proven, Subject
from toolkit.golden import golden_vectors
from toolkit.isa.place import Place
from toolkit.limits import Bounds
from toolkit.lower import Lowered, lower
from toolkit.metrics import Float
from toolkit.observe import Ranges, observe
from toolkit.plan import QuantPlan, plan
from toolkit.progress import Track, silent
from toolkit.runtime.manifest import ModelInfo
from toolkit.runtime.tokenization import Encoded, Text, TextTokenizer
from toolkit.samples import Samples, check_disjoint
from toolkit.sources.source import Source
from toolkit.subjects import source_subject
from toolkit.targets import Decision, EngineName, Recipe
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
    budget: Budget | None = None  # what may be spent; a recipe holds the limits of an accuracy budget already
    clock: Callable[[], Place | None] = lambda: None  # gives the place where layers are timed; None: nowhere
    engine: EngineName | None = None  # None: as the recipe says
    engine_python: Path | None = None  # has the packages of an engine that is not edgequant's; None: this one

    @cached_property
    def fp32(self) -> Subject:
        """The float model, serialized once."""
        return source_subject(self.source)


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
    check_disjoint(job.calibration, job.evaluation)
    texts = calibration_tokens(job.source, job.calibration, job.evaluation)
    lowered = lower(job.source.model)
    engine = job.engine or job.recipe.quantization.engine
    if engine != "native":
        plan_of_none, model = _by_other(job, ENGINES[engine], texts)
        tried, found = _Judge(job, lowered, track).judged(plan_of_none, model, job.recipe.gate.confidence), None
    else:
        feeds = equal_length_feeds(texts, [str(value.name) for value in job.source.model.graph.inputs])
        lowered, ranges = arrange(lowered, observe(lowered, feeds, track))
        tried, found = _natively(job, _model(job, lowered, texts), ranges, track)
    source, recipe = job.source, job.recipe
    subject = source_subject(source, tried.model, recipe.runtime.session_info())
    golden = golden_vectors(subject.loaded(job.threads), source.task)
    content = Content(
        source=source,
        recipe=recipe,
        calibration=job.calibration,
        evaluation=job.evaluation,
        plan=tried.plan,
        model=tried.model,
        info=job.fp32.info,
        golden=golden,
        report=tried.report,
        measurement=job.measurement,
        fallback=found,
    )
    return Quantized(job, job.fp32.model, job.fp32.info, content)


def _natively(job: Job, model: fallback.Model, ranges: Ranges, track: Track) -> tuple[Tried, Fallback | None]:
    """Return the model that a budget or the recipe decides; where the gate refuses the recipe's, what falls back."""
    if job.budget is not None:
        return _by_budget(job, job.budget, fallback.make_bench(model, fallback.BUDGET, track), track)
    decided = plan(model.lowered, ranges, job.recipe.quantization, track)
    judge = _Judge(job, model.lowered, track)
    first = judge(decided, job.recipe.gate.confidence)
    in_int8 = any(item.int8 is not None for item in decided.linears)
    if first.report.passed or not (job.recipe.quantization.fallback and in_int8 and judge.can_pass(first)):
        return first, None
    bench = fallback.make_bench(model, fallback.FALLBACK, track)
    return fallback.rescue(bench, judge.court(), first)


def _by_budget(job: Job, budget: Budget, bench: fallback.Bench, track: Track) -> tuple[Tried, Fallback]:
    court = _Judge(job, bench.model.lowered, track).court()
    if isinstance(budget, LatencyBudget):
        return fallback.within_latency(bench, court, budget)
    return fallback.within_accuracy(bench, court, f"--budget {budget.text}")


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
    writable = all(np.isfinite(row).all() for row in quantized.content.golden.outputs)  # JSON holds no NaN
    keep = partial(write_bundle, content=quantized.content, replace=True) if keep_rejected and writable else None
    raise gate.unwritten(report, f"{quantized.job.source.name} for {quantized.job.recipe.name}", out, hint, keep)


class _Judge:
    """Builds and judges one plan after the other; fp32 is run once."""

    def __init__(self, job: Job, lowered: Lowered, track: Track) -> None:
        self._job, self._lowered, self._track = job, lowered, track
        self._fp32 = job.fp32

    @cached_property
    def _reference(self) -> Float:
        reading = gate.reading_of(self._job.source, self._job.evaluation)
        return gate.run(self._fp32.loaded(self._job.threads), reading, "evaluate fp32", self._track)

    def __call__(self, decided: QuantPlan, confidence: float) -> Tried:
        return self.judged(decided, _build(self._job, self._lowered, decided), confidence)

    def judged(self, decided: QuantPlan, model: bytes, confidence: float) -> Tried:
        """Judge a model, whoever built it."""
        job = self._job
        subject = source_subject(job.source, model, job.recipe.runtime.session_info())
        elsewhere = None if job.on is None else job.on.elsewhere(subject, job.threads, self._track)
        trial = gate.Trial(
            job.evaluation, self._limits(), self._rules(confidence), job.threads, elsewhere, self._reference
        )
        return Tried(decided, model, gate.compare(self._fp32, subject, trial, self._track))

    def can_pass(self, tried: Tried) -> bool:
        """Tell whether a later look of the gate would pass fp32 itself, if it had the size of this model."""
        files = self._fp32.file, gate.file_info(tried.model)
        evidence = gate.Evidence(self._job.evaluation, (self._reference, self._reference), files)
        rules = self._rules(self.court().surer)
        return gate.judge(self._job.source, evidence, self._limits(), rules).passed

    def court(self) -> fallback.Court:
        """Return what a search is told of the gate."""
        return fallback.Court(self._limits(), self._job.recipe.gate.confidence, self)

    def _limits(self) -> dict[str, Bounds]:
        return self._job.recipe.gate.limits(self._job.source.task)

    def _rules(self, confidence: float) -> gate.Rules:
        return gate.Rules(self._job.decision or self._job.recipe.gate.decision, confidence)


def _build(job: Job, lowered: Lowered, decided: QuantPlan) -> bytes:
    return bytes(ir.to_proto(with_forms(apply(lowered, decided), job.recipe.forms)).SerializeToString())


def _model(job: Job, lowered: Lowered, texts: list[Encoded]) -> fallback.Model:
    """Return what a search takes; times are of the recipe's profiles, as far as the model reads."""
    most = job.source.max_length
    usual = tuple(one.model_copy(update={"length": min(one.length, most)}) for one in job.recipe.tuning.profiles)
    return fallback.Model(
        source=job.source,
        lowered=lowered,
        texts=texts,
        recipe=job.recipe,
        build=lambda decided: _build(job, lowered, decided),
        profiles=job.budget.profiles(usual) if isinstance(job.budget, LatencyBudget) else usual,
        place=job.clock(),
        threads=job.threads,
    )


def _by_other(job: Job, engine: Engine, texts: list[Encoded]) -> tuple[QuantPlan, bytes]:
    """Return a plan that names another engine and decides nothing, and the model that the engine makes."""
    with tempfile.TemporaryDirectory() as name:
        feeds, model, out = (Path(name) / file for file in ("feeds.npz", "fp32.onnx", f"{engine.name}.onnx"))
        python = calling.interpreter(job.engine_python, Path(name))
        calling.require(engine, python)
        write_feeds(feeds, equal_length_feeds(texts, job.fp32.info.inputs))
        model.write_bytes(job.fp32.model)
        cpu, isa = job.recipe.cpu, job.recipe.verify.isa
        built = calling.build(engine, Order(str(model), str(feeds), str(out), isa, cpu.pair_saturation), python)
        return QuantPlan((), (), (), built.by), out.read_bytes()


def calibration_tokens(source: Source, calibration: Samples, evaluation: Samples) -> list[Encoded]:
    """Return the calibration set's tokens, in pairs where the model will read pairs; EmptySetError without any."""
    tokenizer = TextTokenizer(source.tokenizer_json, tokenizer_info(source))
    read = _calibration_texts(calibration, pairs=reads_pairs(source, evaluation))
    texts = [encoded for encoded in tokenizer.encode(read) if encoded.ids]
    if not texts:
        raise EmptySetError("the calibration set is empty", where=calibration.name, hint="give a few hundred texts")
    return texts


def _calibration_texts(calibration: Samples, *, pairs: bool) -> list[Text]:
    """Return what the graph is observed on: texts, or pairs of them where that is what the model will read."""
    texts = calibration.texts
    if not pairs:
        return list(texts)
    seconds = calibration.pairs or (*texts[1:], texts[0])  # single texts: each with the next
    return list(zip(texts, seconds, strict=True))


def reads_pairs(source: Source, evaluation: Samples) -> bool:
    """Tell whether a model reads two texts together, as a reranker does, or a classifier that is judged on pairs."""
    return source.task == "reranking" or (source.task == "classification" and evaluation.pairs is not None)
