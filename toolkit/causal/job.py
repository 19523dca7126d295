"""A causal model quantized for one target: plan → apply → gate → bundle."""

import json
from dataclasses import dataclass
from dataclasses import replace as changed
from functools import cached_property, partial
from pathlib import Path

from toolkit import gate
from toolkit.bundle import MODEL, TOKENIZER, Facts, write_files
from toolkit.causal.apply import apply_blocks
from toolkit.causal.curvature import Sight
from toolkit.causal.decisions import block_decisions
from toolkit.causal.golden import golden_continuations
from toolkit.causal.graph import load_graph, save_graph
from toolkit.causal.plan import BlockPlan, plan_blocks
from toolkit.causal.subject import compare_causal, source_subject, tokens_of
from toolkit.decisions import FILE_NAME, to_json
from toolkit.errors import EmptySetError, RecipeError
from toolkit.gate import GateReport
from toolkit.progress import Track, silent
from toolkit.runtime.manifest import GENAI_CONFIG, Golden, ModelInfo
from toolkit.samples import Samples, check_disjoint
from toolkit.sources.causal import CausalSource
from toolkit.targets import Bits, Decision, Recipe, TextGeneration


@dataclass(frozen=True)
class CausalJob:
    """What is quantized, for what, on which data; ``work`` is a folder for the quantized model before it is bundled."""

    source: CausalSource
    recipe: Recipe
    calibration: Samples | None  # None: weights are rounded plainly
    evaluation: Samples
    work: Path
    bits: Bits | None = None  # None: as the recipe says
    threads: int | None = None
    decision: Decision | None = None  # None: as the recipe says

    @cached_property
    def settings(self) -> TextGeneration:
        """What the recipe says of causal models; RecipeError if it says nothing."""
        found = self.recipe.quantization.text_generation
        if found is None:
            hint = "see [quantization.text-generation] in the shipped ones: edgequant targets NAME"
            raise RecipeError("the recipe says nothing of text generation", where=self.recipe.name, hint=hint)
        return found if self.bits is None else found.model_copy(update={"bits": self.bits})


@dataclass(frozen=True)
class QuantizedCausal:
    """The quantized model with its report, in the job's folder."""

    job: CausalJob
    plan: BlockPlan
    files: tuple[Path, ...]
    info: ModelInfo
    golden: Golden
    report: GateReport

    @property
    def facts(self) -> Facts:
        """What the bundle tells of it."""
        job, precision = self.job, f"int{self.plan.settings.bits}"
        calibration = job.calibration if self.plan.calibrated else None
        return Facts(
            job.source, job.recipe, calibration, job.evaluation, self.info, self.golden, self.report, precision
        )


def needs_calibration(recipe: Recipe, bits: Bits | None) -> bool:
    """Tell whether a causal model is observed: weights of 8 bits are rounded plainly."""
    settings = recipe.quantization.text_generation
    return settings is not None and (bits or settings.bits) == 4


def quantize_causal(job: CausalJob, track: Track = silent) -> QuantizedCausal:
    """Quantize and judge; the report may say that the gate failed.

    Raises DataError for sets that overlap or are empty, NumericsError for NaN or infinity.
    """
    source, recipe, settings = job.source, job.recipe, job.settings
    if job.calibration is not None:
        check_disjoint(job.calibration, job.evaluation)
    fp32 = source_subject(source)
    model = load_graph(source.graph)
    plan = plan_blocks(model, settings, _sight(job), track)
    files = save_graph(apply_blocks(model, plan), job.work / MODEL)
    for name, content in _beside(source).items():
        (job.work / name).write_bytes(content)
    info = ModelInfo(MODEL, source.info.inputs, source.info.output, source.info.dimension)
    subject = source_subject(source, job.work, recipe.runtime.session_info())
    rules = gate.Rules(job.decision or recipe.gate.decision, recipe.gate.confidence)
    trial = gate.Trial(job.evaluation, recipe.gate.limits(source.task, settings.bits), rules, job.threads)
    subject = changed(subject, info=info)
    report = compare_causal(fp32, subject, trial, track)
    golden = golden_continuations(subject.loaded(job.threads), source)
    return QuantizedCausal(job, plan, files, info, golden, report)


def write_causal(made: QuantizedCausal, out: Path, *, replace: bool = False, keep_rejected: bool = False) -> Path:
    """Write the bundle and return its folder.

    Raises GateError, and writes nothing under ``out``, when the gate failed; on request the bundle is then kept as
    ``OUT.rejected``. Raises UsageError when ``out`` exists and may not be replaced.
    """
    report = made.report
    if report.passed:
        write_files(out, made.facts, _content(made), replace=replace)
        return out
    hint = "take --bits 8, or other calibration texts, or say --keep-rejected to look at the bundle"
    keep = partial(write_files, content=made.facts, made=_content(made), replace=True) if keep_rejected else None
    raise gate.unwritten(report, f"{made.job.source.name} for {made.job.recipe.name}", out, hint, keep)


def _sight(job: CausalJob) -> Sight | None:
    if job.calibration is None:
        return None
    texts = [tokens for tokens in tokens_of(source_subject(job.source).loaded(1), job.calibration.texts) if tokens]
    if not texts:
        raise EmptySetError("the calibration set is empty", where=job.calibration.name, hint="give some dozen texts")
    heads, head_size = job.source.cache
    return Sight(texts, heads, head_size, job.threads)


def _beside(source: CausalSource) -> dict[str, bytes]:
    """Return the files that onnxruntime-genai reads beside the graph."""
    model = source.genai["model"]
    genai = {**source.genai, "model": {**model, "decoder": {**model["decoder"], "filename": MODEL}}}
    return {
        TOKENIZER: source.tokenizer_json.encode(),
        GENAI_CONFIG: (json.dumps(genai, indent=1, ensure_ascii=False) + "\n").encode(),
        **source.beside,
    }


def _content(made: QuantizedCausal) -> dict[str, bytes]:
    return {
        **{path.name: path.read_bytes() for path in made.files},
        **_beside(made.job.source),
        FILE_NAME: to_json(block_decisions(made.plan)),
    }
