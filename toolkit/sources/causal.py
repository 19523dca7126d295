"""Causal language models: from whatever the user has to a folder with float weights that onnxruntime-genai runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from toolkit.errors import ModelError, UsageError
from toolkit.runtime.manifest import GENAI_CONFIG, ModelInfo, Task
from toolkit.sources import causal_onnx, exporter, genai_builder, llama2c, onnx_file
from toolkit.sources.files import Fields, Files
from toolkit.sources.options import SourceOptions
from toolkit.sources.tokenizer import plain_tokenizer

TASK: Task = "text-generation"
ENDS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
EXPORTED = ("gpt2",)
"""Types of models that onnxruntime-genai's builder does not know and optimum does."""
BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "added_tokens.json")
_WEIGHTS = (".safetensors", ".bin", ".onnx", ".data", ".onnx_data")


@dataclass(frozen=True)
class CausalSource:
    """A causal model with float weights; ``genai`` tells onnxruntime-genai how to run the graph in ``folder``."""

    name: str
    folder: Path
    genai: Mapping[str, Any]  # the content of genai_config.json
    info: ModelInfo
    tokenizer_json: str
    beside: Mapping[str, bytes]  # what else belongs to the tokenizer, by name
    max_length: int  # the context
    pad_id: int
    cache: tuple[int, int]  # heads and their width
    digest: str  # sha256 over the files that were read
    built_by: str
    origin: str | None = None
    task: Task = TASK
    labels: tuple[str, ...] = ()
    multi_label: bool = False
    pooling: str | None = None
    normalize: bool = False

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.folder / self.info.file


def is_causal(model: str, options: SourceOptions) -> bool:
    """Tell whether a model is one that generates text, by what the user says or by its own files."""
    if options.task is not None:
        return options.task == TASK
    path = Path(model).expanduser()
    if path.is_file():
        return path.suffix == ".bin"
    if not model or not path.is_dir():
        return False
    config = Files(path).fields("config.json")
    return (config is not None and generates(config)) or (path / GENAI_CONFIG).is_file()


def generates(config: Fields) -> bool:
    """Tell whether a model's ``config.json`` names an architecture that generates text."""
    names = config.values.get("architectures")
    return isinstance(names, list) and bool(names) and str(names[0]).endswith(ENDS)


def open_causal(model: str, options: SourceOptions, work: Path) -> CausalSource:
    """Return a causal model; what has to be built is built in ``work``, and lies there.

    ``model`` is a folder of onnxruntime-genai, a Hugging Face folder or hub id, an ONNX graph with a cache, or a
    checkpoint of llama2.c.

    UsageError if there is nothing of that name, ModelError for what does not fit, MissingExtraError without the
    packages that a builder needs.
    """
    path = Path(model).expanduser()
    if path.is_file() and path.suffix == ".bin":
        return _llama2c(path, options, work)
    if path.is_file() and path.suffix == ".onnx":
        return _graph(path, Files(path.parent, path.parent.parent), options, work)
    if not path.exists():
        if path.suffix == ".onnx" or not model or model.startswith((".", "/", "~")):
            expected = "a folder, an .onnx file, a checkpoint of llama2.c (.bin) or a hub id"
            raise UsageError("there is no such model", got=repr(model), expected=expected)
        found = exporter.download(model, options.revision)
        path, options = found.folder, replace(options, origin=found.origin)
        options = replace(options, name=options.name or model.rpartition("/")[2])
    if path.is_file():
        raise UsageError("a model is a folder, an .onnx file or a checkpoint of llama2.c (.bin)", got=path)
    return _folder(path, options, work)


def _folder(path: Path, options: SourceOptions, work: Path) -> CausalSource:
    files, named = Files(path), replace(options, name=options.name or path.resolve().name)
    if (path / GENAI_CONFIG).is_file():
        return _complete(path, files, named, "onnxruntime-genai")
    graph = next((found for found in map(files.find, onnx_file.NAMES) if found), None)
    weights = [one for one in sorted(path.iterdir()) if one.suffix in (".safetensors", ".bin")]
    config = files.fields("config.json")
    if graph is not None and not weights:
        return _graph(graph, Files(graph.parent, path), named, work)
    if config is None or not weights:
        expected = f"{GENAI_CONFIG}; or config.json with safetensors; or model.onnx with a cache"
        raise ModelError("the folder holds no causal model", where=path, expected=expected)
    for one in weights:
        files.take(one)
    if config.values.get("model_type") in EXPORTED:
        version = exporter.export(path, TASK, work / "export")
        _copy_tokenizer(files, options, work / "export")
        made = _graph(work / "export" / "model.onnx", Files(work / "export"), named, work)
        return replace(made, digest=files.digest(), built_by=f"optimum {version}")
    built_by = genai_builder.build(path, work / "built")
    return _built(work / "built", files, named, built_by)


def _llama2c(path: Path, options: SourceOptions, work: Path) -> CausalSource:
    tokenizer = options.tokenizer or path.with_name("tokenizer.bin")
    if not tokenizer.is_file():
        hint = "name it: --tokenizer FILE"
        raise UsageError("a checkpoint of llama2.c needs its tokenizer", where=path, expected=tokenizer, hint=hint)
    files = Files(path.parent)
    for one in (path, tokenizer):
        files.take(one)
    llama2c.write_folder(path, tokenizer, work / "folder")
    built_by = genai_builder.build(work / "folder", work / "built")
    named = replace(options, name=options.name or path.stem, tokenizer=None)
    return _built(work / "built", files, named, f"llama2.c by {built_by}")


def _graph(path: Path, files: Files, options: SourceOptions, work: Path) -> CausalSource:
    config = files.required("config.json")
    files.take(path)
    out = work / "prepared"
    causal_onnx.prepare(path, config, files.fields("generation_config.json"), out)
    _copy_tokenizer(files, options, out)
    name = options.name or (path.parent.resolve().name if path.stem == "model" else path.stem)
    made = _complete(out, Files(out), replace(options, name=name, tokenizer=None), "onnx file")
    return replace(made, digest=files.digest())


def _built(folder: Path, files: Files, options: SourceOptions, built_by: str) -> CausalSource:
    made = _complete(folder, Files(folder), options, built_by)
    return replace(made, digest=files.digest())


def _copy_tokenizer(files: Files, options: SourceOptions, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_bytes(_tokenizer_of(files, options).read_bytes())
    for path in filter(None, map(files.find, BESIDE)):
        (out / path.name).write_bytes(files.take(path).read_bytes())


def _tokenizer_of(files: Files, options: SourceOptions) -> Path:
    found = options.tokenizer or files.find("tokenizer.json")
    if found is None or not found.is_file():
        hint = "name it: --tokenizer FILE; AutoTokenizer.from_pretrained(…).save_pretrained(…) writes it"
        where = found or ", ".join(map(str, files.roots))
        raise ModelError("there is no tokenizer.json", where=where, hint=hint)
    return files.take(found)


def _complete(folder: Path, files: Files, options: SourceOptions, built_by: str) -> CausalSource:
    """Return the source in a folder of onnxruntime-genai."""
    config = files.required(GENAI_CONFIG)
    model = _object(config, "model")
    decoder = _object(model, "decoder")
    graph = folder / decoder.text("filename")
    if not graph.is_file():
        raise ModelError(f"the graph that {GENAI_CONFIG} names is missing", where=graph)
    for path in sorted(one for one in folder.iterdir() if one.suffix in _WEIGHTS):
        files.take(path)
    inputs = tuple(str(value.name) for value in ir.load(graph).graph.inputs)
    vocabulary = model.integer("vocab_size", minimum=1)
    context, pad = model.integer("context_length", minimum=1), model.values.get("pad_token_id")
    return CausalSource(
        name=options.name or folder.resolve().name,
        folder=folder,
        genai=config.values,
        info=ModelInfo(graph.name, inputs, "logits", vocabulary),
        tokenizer_json=plain_tokenizer(_tokenizer_of(files, options), vocabulary).to_str(),
        beside={path.name: files.take(path).read_bytes() for path in filter(None, map(files.find, BESIDE))},
        max_length=min(options.max_length or context, context),
        pad_id=pad if isinstance(pad, int) else 0,
        cache=(decoder.integer("num_key_value_heads", minimum=1), decoder.integer("head_size", minimum=1)),
        digest=files.digest(),
        built_by=built_by,
        origin=options.origin,
    )


def _object(fields: Fields, name: str) -> Fields:
    value = fields.values.get(name)
    if not isinstance(value, dict):
        raise ModelError(f"{fields.path.name} has no usable {name!r}", where=fields.path, expected="a JSON object")
    return Fields(fields.path, value)
