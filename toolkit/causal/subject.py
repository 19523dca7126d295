"""A causal model as the gate runs it, by onnxruntime-genai's own loop, and two of them compared on a set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolkit.errors import UsageError
from toolkit.gate import Evidence, GateReport, Judged, Trial, file_info, judge
from toolkit.gate.text_generation import outcomes
from toolkit.metrics import Float
from toolkit.progress import Track, silent
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.generator import Generator
from toolkit.runtime.manifest import FileInfo, ModelInfo, SessionInfo, TokenizerInfo
from toolkit.sources.causal import CausalSource
from toolkit.targets import Bits

TOKENIZER = "tokenizer.json"
PLAIN = SessionInfo()


@dataclass(frozen=True)
class CausalSubject:
    """A folder that onnxruntime-genai reads, what it is for, and how it is run."""

    judged: Judged
    folder: Path
    tokenizer_json: str
    info: ModelInfo
    tokens: TokenizerInfo
    session: SessionInfo = PLAIN

    def loaded(self, threads: int | None) -> Generator:
        """Return the model as the runtime runs it."""
        return Generator(self.folder, self.tokenizer_json, self.info, self.tokens, self.session, threads)

    @property
    def file(self) -> FileInfo:
        """Digest of the ONNX file, and its size with the weights that lie beside it."""
        graph = self.folder / self.info.file
        found = file_info(graph.read_bytes())
        beside = [path for path in self.folder.glob(f"{graph.name}*") if path != graph]
        return FileInfo(found.sha256, found.bytes + sum(path.stat().st_size for path in beside))

    @property
    def bits(self) -> Bits:
        """The fewest bits of its weights in blocks; 8 where it has none."""
        nodes = ir.load(self.folder / self.info.file).graph
        found = [node.attributes.get_int("bits", 4) for node in nodes if node.op_type == "MatMulNBits"]
        return 4 if min(found, default=8) < 8 else 8


def source_subject(source: CausalSource, folder: Path | None = None, session: SessionInfo = PLAIN) -> CausalSubject:
    """Return a source's model with float weights, or a quantized one in ``folder``."""
    info = source.info
    return CausalSubject(source, folder or source.folder, source.tokenizer_json, info, tokenizer_info(source), session)


def bundle_subject(bundle: Bundle) -> CausalSubject:
    """Return a bundle's model."""
    manifest = bundle.manifest
    tokenizer = (bundle.folder / manifest.tokenizer.file).read_text(encoding="utf-8")
    return CausalSubject(manifest, bundle.folder, tokenizer, manifest.model, manifest.tokenizer, manifest.session)


def tokenizer_info(source: CausalSource) -> TokenizerInfo:
    """Return how the runtime shall tokenize for a source."""
    return TokenizerInfo(TOKENIZER, source.max_length, source.pad_id)


def compare_causal(fp32: CausalSubject, int8: CausalSubject, trial: Trial, track: Track = silent) -> GateReport:
    """Run both on the set's texts and judge the quantized model by the float one; the report is under its name.

    A text is cut where the context ends. UsageError where the two read other tokens.
    """
    reference, found = (subject.loaded(trial.threads) for subject in (fp32, int8))
    texts = tokens_of(reference, trial.samples.texts)
    other = sum(a != b for a, b in zip(texts, tokens_of(found, trial.samples.texts), strict=True))
    if other or fp32.info.dimension != int8.info.dimension:
        got = f"other tokens for {other:,} of {len(texts):,} texts, {int8.info.dimension} in the vocabulary"
        where, expected = f"{int8.judged.name} and {fp32.judged.name}", f"the same, and {fp32.info.dimension}"
        raise UsageError("the two models do not read the same tokens", where=where, got=got, expected=expected)
    outputs = (run(reference, texts, "evaluate fp32", track), run(found, texts, "evaluate quantized", track))
    lengths = np.array([len(tokens) for tokens in texts], np.int64)
    evidence = Evidence(trial.samples, outputs, (fp32.file, int8.file), lengths)
    report = judge(fp32.judged, evidence, trial.limits, trial.rules)
    return replace(report, model=replace(report.model, name=int8.judged.name))


def tokens_of(model: Generator, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each text as far as the context reaches, with room for one more."""
    return [model.encode(text)[: model.context - 1] for text in texts]


def run(model: Generator, texts: Sequence[Sequence[int]], what: str, track: Track = silent) -> Float:
    """Return what ``gate.text_generation`` measures: [texts, tokens, 3]."""
    found = np.zeros((len(texts), max(1, max(map(len, texts)) - 1), 3), np.float32)
    for row, tokens in enumerate(track(texts, what, len(texts))):
        if len(tokens) > 1:
            found[row, : len(tokens) - 1] = outcomes(model.logits(tokens), np.array(tokens, np.int64))
    return found
