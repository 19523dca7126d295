"""A model as the gate runs it, and two of them compared on a set."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolkit.errors import UsageError
from toolkit.gate.judge import Evidence, judge
from toolkit.gate.report import GateReport, Models, RunPlace, Sizes, Verdict
from toolkit.gate.running import reading_of, run
from toolkit.gate.task import Judged
from toolkit.gate.verdicts import Rules
from toolkit.limits import Bounds
from toolkit.metrics import Float, Ints
from toolkit.progress import Track, silent
from toolkit.runtime.manifest import FileInfo, ModelInfo, SessionInfo, TokenizerInfo
from toolkit.runtime.model import TextModel
from toolkit.runtime.tokenization import Encoded, Text, TextTokenizer
from toolkit.samples import Samples


def file_info(data: bytes) -> FileInfo:
    """Return what guards a file of these bytes."""
    return FileInfo(hashlib.sha256(data).hexdigest(), len(data))


@dataclass(frozen=True)
class Subject:
    """What a model is for, its ONNX file and its tokenizer, and how both are run."""

    judged: Judged
    model: bytes
    tokenizer_json: str
    info: ModelInfo
    tokens: TokenizerInfo
    session: SessionInfo

    def loaded(self, threads: int | None) -> TextModel:
        """Return the model as the runtime runs it."""
        return TextModel(self.model, self.tokenizer_json, self.info, self.tokens, self.session, threads)

    def encode(self, texts: Sequence[Text]) -> list[Encoded]:
        """Return the tokens that the model reads of each text."""
        return TextTokenizer(self.tokenizer_json, self.tokens).encode(texts)

    @property
    def file(self) -> FileInfo:
        """Size and digest of the ONNX file."""
        return file_info(self.model)


@dataclass(frozen=True)
class Elsewhere:
    """Where int8 runs if not here: on another instruction set."""

    place: RunPlace
    outputs: Callable[[Sequence[Text]], Float]


@dataclass(frozen=True)
class Trial:
    """How two models are compared: on what, with how many threads, by which limits."""

    samples: Samples
    limits: Mapping[str, Bounds]
    rules: Rules
    threads: int | None = None
    elsewhere: Elsewhere | None = None
    reference: Float | None = None  # what fp32 gives for the set's texts, where it was run before


def compare(fp32: Subject, int8: Subject, trial: Trial, track: Track = silent) -> GateReport:
    """Run both on the set's texts and judge int8 by fp32; the report is under int8's name.

    UsageError where they are not for the same: another task, other labels, another dimension. Where they read other
    tokens nothing is run: the report says so. Raises NumericsError where fp32's output is not finite.
    """
    order = _label_order(fp32.judged, int8.judged)
    if fp32.info.dimension != int8.info.dimension:
        got, expected = (f"{one.info.dimension} numbers a text" for one in (int8, fp32))
        where = f"{int8.judged.name} and {fp32.judged.name}"
        raise UsageError("the outputs of the two models have other sizes", where=where, got=got, expected=expected)
    reading = reading_of(fp32.judged, trial.samples)
    tokens = fp32.encode(reading.texts), int8.encode(reading.texts)
    other = sum(a.ids != b.ids or a.type_ids != b.type_ids for a, b in zip(*tokens, strict=True))
    if other:
        return _other_tokens(fp32, int8, trial, other, len(reading.texts))
    reference = trial.reference
    if reference is None:
        reference = run(fp32.loaded(trial.threads), reading, "evaluate fp32", track)
    elsewhere = trial.elsewhere
    found = (
        elsewhere.outputs(reading.texts)
        if elsewhere
        else run(int8.loaded(trial.threads), reading, "evaluate int8", track)
    )
    lengths = np.array([len(encoded.ids) for encoded in tokens[0]], np.int64)
    evidence = Evidence(
        samples=trial.samples,
        outputs=(reference, found if order is None else found[..., order]),
        files=(fp32.file, int8.file),
        lengths=lengths,
        place=elsewhere.place if elsewhere else None,
    )
    report = judge(fp32.judged, evidence, trial.limits, trial.rules)
    return replace(report, model=replace(report.model, name=int8.judged.name))


def _label_order(fp32: Judged, int8: Judged) -> Ints | None:
    """Return which of int8's outputs stands for each of fp32's labels, or None where they stand in the same order."""
    if fp32.task != int8.task:
        what = "the two models are for different tasks"
        raise UsageError(what, where=f"{int8.name} and {fp32.name}", got=int8.task, expected=fp32.task)
    if fp32.labels == int8.labels:
        return None
    if sorted(fp32.labels) != sorted(int8.labels) or len(set(fp32.labels)) < len(fp32.labels):
        hint = "both must name the same labels, in whatever order (id2label in config.json)"
        where, got, expected = f"{int8.name} and {fp32.name}", ", ".join(int8.labels), ", ".join(fp32.labels)
        raise UsageError("the two models have other labels", where=where, got=got, expected=expected, hint=hint)
    return np.array([int8.labels.index(label) for label in fp32.labels], np.int64)


def _other_tokens(fp32: Subject, int8: Subject, trial: Trial, other: int, texts: int) -> GateReport:
    samples, files = trial.samples, (fp32.file, int8.file)
    note = f"the two tokenizers give other tokens for {other:,} of {texts:,} texts"
    return GateReport(
        task=fp32.judged.task,
        model=Models(int8.judged.name, files[0].sha256, files[1].sha256),
        dataset=samples.name,
        dataset_digest=samples.digest,
        rows=len(samples.texts),
        decision=trial.rules.decision,
        verdicts=(Verdict("other_tokens", None, float(other), {"max": 0}, "fail", note),),
        sizes=Sizes(files[0].bytes, files[1].bytes),
    )
