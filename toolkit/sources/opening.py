"""From whatever the user has (folder, ONNX file, hub id) to a Source."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from toolkit.errors import ModelError, UsageError
from toolkit.sources import checkpoint, exporter, onnx_file
from toolkit.sources.causal import generates
from toolkit.sources.draft import Draft
from toolkit.sources.files import Fields, Files
from toolkit.sources.options import SourceOptions
from toolkit.sources.sentence_transformers import Modules, read_modules
from toolkit.sources.source import Source
from toolkit.sources.tokenizer import read_tokenization

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_WEIGHTS = (".bin", ".safetensors", ".pt", ".h5", ".msgpack")


def open_source(model: str, options: SourceOptions | None = None) -> Source:
    """Return the float graph and tokenizer of ``model``: a folder, an ONNX file or the id of a hub model.

    UsageError if there is nothing of that name; ModelError and NumericsError say what in the files does
    not fit; MissingExtraError if the model needs optimum and it is not installed.
    """
    options = options or SourceOptions()
    path = Path(model).expanduser()
    if options.revision is not None and (path.is_dir() or path.is_file()):
        raise UsageError("only a hub id has revisions", where=model, got=options.revision)
    if model and path.is_dir():
        return _open_folder(path, options, path.resolve().name)
    if path.is_file():
        return _open_file(path, options)
    if path.suffix == ".onnx" or not _HUB_ID.fullmatch(model):
        hint = "check the path; without MODEL the embedded default is taken"
        raise UsageError("there is no such model", got=model, expected="a folder, an .onnx file or a hub id", hint=hint)
    found = exporter.download(model, options.revision)
    return _open_folder(found.folder, replace(options, origin=found.origin), model.rpartition("/")[2])


def _open_file(path: Path, options: SourceOptions) -> Source:
    if path.suffix != ".onnx":
        hint = "give the folder that the file is in"
        raise UsageError("a model is a folder or an .onnx file", got=path, hint=hint)
    inside = path.parent.name == "onnx"
    files = Files(path.parent, path.parent.parent) if inside else Files(path.parent)
    modules = _modules(files)
    config = files.fields("config.json")
    draft = onnx_file.open_graph(path, files, config, modules, options)
    folder = path.resolve().parent.parent.name
    return _complete(draft, files, config, options, folder if inside else path.stem)


def _open_folder(folder: Path, options: SourceOptions, name: str) -> Source:
    files = Files(folder)
    modules = _modules(files)
    config = files.fields("config.json")
    if config and checkpoint.is_buildable(files, config):
        draft = checkpoint.build(files, config, modules, options)
        return _complete(draft, files, config, options, name)
    graph = next((path for path in map(files.find, onnx_file.NAMES) if path), None)
    if graph is not None:
        files.roots.append(graph.parent)
        config = config or files.fields("config.json")
        draft = onnx_file.open_graph(graph, files, config, modules, options)
        return _complete(draft, files, config, options, name)
    if config is None:
        expected = "config.json with model.safetensors, or onnx/model.onnx"
        raise ModelError("the folder holds no model", where=folder, expected=expected)
    return _complete(_export(files, config, modules, options), files, config, options, name)


def _export(files: Files, config: Fields, modules: Modules | None, options: SourceOptions) -> Draft:
    """Export by optimum; what counts for the digest are the weights that optimum read, not what it wrote."""
    root = config.path.parent
    if options.task is None and generates(config):
        hint = "say --task text-generation"
        raise UsageError("the model generates text, and nobody says what else it shall do", where=root, hint=hint)
    for path in sorted(root.iterdir()):
        if path.suffix in _WEIGHTS:
            files.take(path)
    names = config.values.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names and not modules else ""
    task = options.task or next((task for end, task in checkpoint.HEADS if name.endswith(end)), "embedding")
    with tempfile.TemporaryDirectory(prefix="edgequant-") as out:
        version = exporter.export(root, task, Path(out))
        draft = onnx_file.open_graph(Path(out) / "model.onnx", Files(Path(out)), config, modules, options)
        return replace(draft, built_by=f"optimum {version}")


def _modules(files: Files) -> Modules | None:
    modules = read_modules(files)
    if modules and modules.transformer:
        files.prefer(files.roots[0] / modules.transformer)
    return modules


def _complete(draft: Draft, files: Files, config: Fields | None, options: SourceOptions, name: str) -> Source:
    ShapeInferencePass()(draft.model)
    tokenization = read_tokenization(files, config, options, _embedding_rows(draft.model.graph))
    return Source(
        name=options.name or name,
        model=draft.model,
        task=draft.task,
        output=draft.output,
        tokenizer_json=tokenization.json,
        max_length=tokenization.max_length,
        pad_id=tokenization.pad_id,
        labels=draft.labels,
        multi_label=draft.multi_label,
        pooling=draft.pooling,
        normalize=draft.normalize,
        digest=files.digest(),
        built_by=draft.built_by,
        origin=options.origin,
    )


def _embedding_rows(graph: ir.Graph) -> int | None:
    """Return how many rows the table has that ``input_ids`` choose from; None where the graph hides it."""
    ids = next(value for value in graph.inputs if value.name == "input_ids")
    for node in ids.consumers():
        table = node.inputs[0].const_value if node.op_type == "Gather" and node.inputs[0] else None
        if table is not None:
            return int(table.shape.numpy()[0])
    return None
