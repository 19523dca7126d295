"""``manifest.json`` of a bundle whose model takes arrays and gives arrays: a task of its own, ``tensors``."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from toolkit.runtime.errors import BundleError
from toolkit.runtime.manifest import SCHEMA, FileInfo, Manifest, Problem, SessionInfo, TargetInfo, file_problems
from toolkit.runtime.strict import parse, read

TASK: Literal["tensors"] = "tensors"
DYNAMIC = -1
"""A dimension that may be anything."""

Kind = Literal[
    "float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"
]
"""What an array may hold, in numpy's words."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or an output of the model; a dimension of ``DYNAMIC`` may be anything, of an output all (None)."""

    name: str
    kind: Kind
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name} {self.kind}"
        shown = ", ".join("?" if dimension == DYNAMIC else str(dimension) for dimension in self.shape)
        return f"{self.name} {self.kind} [{shown}]"

    @property
    def axes(self) -> tuple[int, ...]:
        """The shape of an input, which has one."""
        return self.shape or ()


@dataclass(frozen=True)
class TensorModelInfo:
    """The ONNX file, what it takes and what it gives."""

    file: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True)
class TensorGolden:
    """Feeds and what the builder saw for them, in an ``.npz``: arrays ``ROW.in.I`` and ``ROW.out.I`` from 0.

    A host passes if each float output of each row has an SQNR of at least ``min_sqnr_db`` against what was seen.
    """

    file: str
    rows: int
    min_sqnr_db: float


@dataclass(frozen=True)
class TensorManifest:
    """All of ``manifest.json``; the runtime reads neither ``provenance`` nor ``gate``."""

    schema: int
    name: str
    task: Literal["tensors"]
    model: TensorModelInfo
    target: TargetInfo
    session: SessionInfo
    provenance: Mapping[str, object]
    gate: Mapping[str, object]
    golden: TensorGolden
    files: Mapping[str, FileInfo]

    def to_json(self) -> bytes:
        """Return the file's bytes: UTF-8, keys sorted, the same for equal manifests."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()


AnyManifest = Manifest | TensorManifest


def read_manifest(data: bytes, where: object) -> AnyManifest:
    """Read a manifest of either kind; BundleError names ``where``, the key, what was got and what was expected."""
    value = parse(data, where)
    if not isinstance(value, dict) or value.get("task") != TASK or value.get("schema") != SCHEMA:
        return Manifest.from_json(data, where)
    manifest = read(TensorManifest, value, where)
    for key, got, expected in _problems(manifest):
        raise BundleError(f"wrong value for key {key!r}", where=where, got=got, expected=expected)
    return manifest


def _problems(manifest: TensorManifest) -> Iterator[Problem]:
    """Yield key, got and expected of each value that has the right type and still cannot be."""
    golden, model = manifest.golden, manifest.model
    yield from file_problems(manifest.files, {"model.file": model.file, "golden.file": golden.file})
    if golden.rows < 1:  # a self-check of nothing would always pass
        yield "golden.rows", golden.rows, "at least 1"
    if manifest.session.max_batch_tokens < 1:
        yield "session.max_batch_tokens", manifest.session.max_batch_tokens, "at least 1"
    for key, tensors in (("model.inputs", model.inputs), ("model.outputs", model.outputs)):
        names = [tensor.name for tensor in tensors]
        if (not names and key == "model.outputs") or len(set(names)) < len(names):
            yield key, ", ".join(names) or "nothing", "names, each once"
        for tensor in tensors:
            if min(tensor.axes, default=0) < DYNAMIC:
                yield f"{key}: {tensor.name}", tensor.shape, f"dimensions of at least 0, or {DYNAMIC}"
            if tensor.shape is None and key == "model.inputs":
                yield f"{key}: {tensor.name}", "no shape", "a shape: only an output may have any"
