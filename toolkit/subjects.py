"""Models made ready for the gate: a source's float graph, an int8 graph made from it, the model of a bundle."""

import onnx_ir as ir

from toolkit.bundle import MODEL, tokenizer_info
from toolkit.errors import BundleError, ModelError
from toolkit.gate import Subject, file_info
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.manifest import ModelInfo, SessionInfo
from toolkit.sources.source import Source

PLAIN = SessionInfo()


def source_subject(source: Source, model: bytes | None = None, session: SessionInfo = PLAIN) -> Subject:
    """Return a source's float model, or an int8 ``model`` made from it; ModelError if its output's width is unknown."""
    inputs = tuple(str(value.name) for value in source.model.graph.inputs)
    info = ModelInfo(MODEL, inputs, source.output, _dimension(source))
    content = model or ir.to_proto(source.model).SerializeToString()
    return Subject(source, content, source.tokenizer_json, info, tokenizer_info(source), session)


def bundle_subject(bundle: Bundle) -> Subject:
    """Return a bundle's model; BundleError where a file is missing, or is not the one that the manifest names."""
    manifest = bundle.manifest
    content = {}
    for name in (manifest.model.file, manifest.tokenizer.file):
        problem = bundle.size_problem(name)
        if problem:
            raise problem
        content[name] = (bundle.folder / name).read_bytes()
        got, expected = file_info(content[name]).sha256, manifest.files[name].sha256
        if got != expected:
            hint = "the copy is altered or damaged: copy the bundle again"
            where = bundle.folder / name
            raise BundleError("a file of the bundle was changed", where=where, got=got, expected=expected, hint=hint)
    tokenizer = content[manifest.tokenizer.file].decode("utf-8")
    model = content[manifest.model.file]
    return Subject(manifest, model, tokenizer, manifest.model, manifest.tokenizer, manifest.session)


def _dimension(source: Source) -> int:
    if source.labels:
        return len(source.labels)
    shape = source.model.graph.outputs[0].shape
    if shape is None or not isinstance(shape[-1], int):
        raise ModelError("the width of the output is unknown", where=source.output, hint="export it with shapes")
    return shape[-1]
