"""``manifest.json``, the one home of its schema: what is in a bundle and how it is run."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from toolkit.runtime.errors import BundleError
from toolkit.runtime.strict import parse, read

SCHEMA = 1
FILE_NAME = "manifest.json"
CHECKSUM = f"{FILE_NAME}.sha256"
"""The manifest's own digest, a line as sha256sum writes it: the manifest guards every other file, this guards it."""
SIGNATURE = f"{FILE_NAME}.sig"
OWN_FILES = (FILE_NAME, CHECKSUM, SIGNATURE)
"""What a bundle may hold that its manifest does not list."""

GENAI_CONFIG = "genai_config.json"
"""What a bundle for text generation has beside model and tokenizer: how onnxruntime-genai is to run them."""

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""All that a model may ask for: int64 ``[batch, length]`` each."""

Task = Literal["embedding", "classification", "reranking", "token-classification", "text-generation"]
_FLOAT32_MAX = (2 - 2**-23) * 2.0**127
GraphOptimization = Literal["disabled", "basic", "extended", "all"]


@dataclass(frozen=True)
class ModelInfo:
    """The ONNX file, the inputs it takes, and its one output.

    It is float32 ``[batch, dimension]``, or ``[batch, length, dimension]`` for token classification. Of a text
    generation model, which onnxruntime-genai runs, ``dimension`` is the size of the vocabulary.
    """

    file: str
    inputs: tuple[str, ...]
    output: str
    dimension: int


@dataclass(frozen=True)
class TokenizerInfo:
    """The tokenizer's file; texts are cut at ``max_length`` tokens, special ones included.

    For text generation that is the context: what a prompt and its continuation have room in together.
    """

    file: str
    max_length: int
    pad_id: int


@dataclass(frozen=True)
class TargetInfo:
    """The CPU the bundle is for: ``x86_64`` or ``arm64``, and the ``cpu.features`` it must have."""

    name: str
    architecture: str
    requires: tuple[str, ...]


@dataclass(frozen=True)
class SessionInfo:
    """How onnxruntime runs the model; ``max_batch_tokens`` bounds rows times padded length of one run."""

    graph_optimization: GraphOptimization = "all"
    disabled_optimizers: tuple[str, ...] = ()
    allow_spinning: bool = False
    memory_arena: bool = True
    max_batch_tokens: int = 1024


@dataclass(frozen=True)
class Golden:
    """Texts with the outputs that the builder saw: ``outputs`` is ``[len(texts)][dimension]``.

    For token classification a text has ``dimension`` numbers for each of its tokens, one token after the other.
    A host passes if each text's cosine is at least ``min_cosine`` and no number is more than
    ``max_difference`` away. For text generation the numbers are the ids of the tokens that follow a text, each the
    likeliest; a host passes if it finds the same.
    """

    texts: tuple[str, ...]
    pairs: tuple[str, ...]  # the second text of each, for a model that reads pairs; else none
    outputs: tuple[tuple[float, ...], ...]
    min_cosine: float
    max_difference: float

    @property
    def inputs(self) -> list[str | tuple[str, str]]:
        """What the model is given: the texts, or the pairs of texts."""
        return list(zip(self.texts, self.pairs, strict=True)) if self.pairs else list(self.texts)


@dataclass(frozen=True)
class FileInfo:
    """Digest and size of one file: ``sha256`` in 64 lower-case hex digits."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """All of ``manifest.json``; the runtime reads neither ``provenance`` nor ``gate``."""

    schema: int
    name: str
    task: Task
    model: ModelInfo
    tokenizer: TokenizerInfo
    pooling: str | None
    normalize: bool
    labels: tuple[str, ...]
    multi_label: bool
    target: TargetInfo
    session: SessionInfo
    provenance: Mapping[str, object]
    gate: Mapping[str, object]
    golden: Golden
    files: Mapping[str, FileInfo]

    def to_json(self) -> bytes:
        """Return the file's bytes: UTF-8, keys sorted, a vector a line, the same for equal manifests."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return (_NUMBERS.sub(_one_line, text) + "\n").encode()

    @staticmethod
    def from_json(data: bytes, where: object) -> "Manifest":
        """Read the file's bytes; BundleError names ``where``, the key, what was got and what was expected."""
        value = parse(data, where)
        schema = value.get("schema", SCHEMA) if isinstance(value, dict) else SCHEMA
        if schema != SCHEMA:
            hint = "use the version of edgequant that wrote the bundle, or build it again"
            raise BundleError("the manifest is of another schema", where=where, got=schema, expected=SCHEMA, hint=hint)
        manifest = read(Manifest, value, where)
        for key, got, expected in _problems(manifest):
            raise BundleError(f"wrong value for key {key!r}", where=where, got=got, expected=expected)
        return manifest


def checksum_line(manifest: bytes) -> bytes:
    """Return the content of ``CHECKSUM`` for the manifest's bytes."""
    import hashlib  # noqa: PLC0415 - it loads OpenSSL

    return f"{hashlib.sha256(manifest).hexdigest()}  {FILE_NAME}\n".encode()


def check_manifest(manifest: bytes, checksum: bytes, where: object) -> None:
    """Raise BundleError when ``CHECKSUM``'s content is not that of the manifest's bytes."""
    expected = checksum_line(manifest)
    if checksum != expected:
        got, hint = repr(checksum[:70]), "one of the two is altered: copy the bundle again"
        raise BundleError(f"{CHECKSUM} does not fit the manifest", where=where, got=got, expected=expected, hint=hint)


# A line break cannot occur inside a JSON string, so this never matches in one.
_NUMBERS = re.compile(r"\[\n\s*((?:-?[0-9.eE+-]+,?\n\s*)+)\]")


def _one_line(match: re.Match[str]) -> str:
    return "[" + " ".join(match[1].split()) + "]"


Problem = tuple[str, object, str]


def _problems(manifest: Manifest) -> Iterator[Problem]:
    """Yield key, got and expected of each value that has the right type and still cannot be."""
    named = {"model.file": manifest.model.file, "tokenizer.file": manifest.tokenizer.file}
    yield from file_problems(manifest.files, named)
    if manifest.task == "text-generation" and GENAI_CONFIG not in manifest.files:
        yield "files", ", ".join(manifest.files), f"{GENAI_CONFIG} among them"
    yield from _golden_problems(manifest.golden, manifest.model.dimension, manifest.task)
    inputs, generates = manifest.model.inputs, manifest.task == "text-generation"
    strange = set() if generates else set(inputs) - set(INPUTS)
    if "input_ids" not in inputs or strange or len(set(inputs)) < len(inputs):
        yield (
            "model.inputs",
            ", ".join(inputs) or "nothing",
            f"input_ids and others of {', '.join(INPUTS)}, each once",
        )
    numbers = {
        "model.dimension": (manifest.model.dimension, 1),
        "tokenizer.max_length": (manifest.tokenizer.max_length, 1),
        "tokenizer.pad_id": (manifest.tokenizer.pad_id, 0),
        "session.max_batch_tokens": (manifest.session.max_batch_tokens, 1),
    }
    for key, (got, least) in numbers.items():
        if got < least:
            yield key, got, f"at least {least}"
    labelled = manifest.task in ("classification", "token-classification")
    count = manifest.model.dimension if labelled else 0
    if len(manifest.labels) != count:
        yield "labels", len(manifest.labels), f"{count} labels, as task and model.dimension say"
    if manifest.task == "reranking" and manifest.model.dimension != 1:
        yield "model.dimension", manifest.model.dimension, "1: a reranker gives one score"


def file_problems(files: Mapping[str, FileInfo], named: Mapping[str, str]) -> Iterator[Problem]:
    """Yield what is wrong with the list of files, and with the keys that name one of them."""
    for name, info in files.items():
        if name != name.strip() or name in ("", ".", "..", *OWN_FILES) or re.search(r"[/\\\x00-\x1f]", name):
            yield "files", repr(name), "plain names of files inside the bundle's folder"
        if not re.fullmatch("[0-9a-f]{64}", info.sha256):
            yield f"files.{name}.sha256", info.sha256, "64 lower-case hex digits"
        if info.bytes < 0:
            yield f"files.{name}.bytes", info.bytes, "at least 0"
    for key, name in named.items():
        if name not in files:
            yield key, name, f"one of the manifest's files: {', '.join(files) or 'none'}"


def _golden_problems(golden: Golden, dimension: int, task: Task) -> Iterator[Problem]:
    if not golden.texts:  # a self-check of nothing would always pass
        yield "golden.texts", "no texts", "at least one text"
    if golden.pairs and len(golden.pairs) != len(golden.texts):
        yield "golden.pairs", f"{len(golden.pairs)} texts", f"{len(golden.texts)}, one for each text, or none"
    if len(golden.outputs) != len(golden.texts):
        yield "golden.outputs", f"{len(golden.outputs)} outputs", f"{len(golden.texts)}, one for each text"
    by_token = task == "token-classification"
    if task == "text-generation":
        yield from _golden_ids_problems(golden, dimension)
        return
    for i, output in enumerate(golden.outputs):
        if len(output) % dimension or not output if by_token else len(output) != dimension:
            expected = f"{dimension}{' for each token' if by_token else ''}, as model.dimension says"
            yield f"golden.outputs[{i}]", f"{len(output)} numbers", expected
        largest = max(map(abs, output), default=0.0)
        if largest > _FLOAT32_MAX:  # no model gives it, and its square may be no double
            yield f"golden.outputs[{i}]", largest, f"numbers of float32, at most {_FLOAT32_MAX:.8g}"
    if golden.max_difference < 0:
        yield "golden.max_difference", golden.max_difference, "at least 0"
    if not -1 <= golden.min_cosine <= 1:
        yield "golden.min_cosine", golden.min_cosine, "between -1 and 1"


def _golden_ids_problems(golden: Golden, vocabulary: int) -> Iterator[Problem]:
    for i, output in enumerate(golden.outputs):
        wrong = next((one for one in output if not one.is_integer() or not 0 <= one < vocabulary), None)
        if wrong is not None or not output:
            yield f"golden.outputs[{i}]", wrong or "no tokens", f"ids of tokens, from 0 to {vocabulary - 1}"
