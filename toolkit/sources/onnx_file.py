"""A float ONNX model checked, reduced to one output, pooled where that is missing."""

from pathlib import Path
from typing import cast

import numpy as np
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
from onnx_ir.passes.common import RemoveInitializersFromInputsPass, RemoveUnusedNodesPass, ShapeInferencePass

from toolkit.errors import ModelError, NumericsError
from toolkit.sources.draft import Draft, refuse_pooling
from toolkit.sources.files import Fields, Files
from toolkit.sources.heads import finish_embedding, normalize, tail_of
from toolkit.sources.labels import read_labels
from toolkit.sources.options import SourceOptions
from toolkit.sources.sentence_transformers import Modules
from toolkit.sources.source import Task
from toolkit.sources.writer import GraphWriter, set_output

NAMES = ("onnx/model.onnx", "model.onnx")
_REQUIRED = ("input_ids", "attention_mask")
_INPUTS = (*_REQUIRED, "token_type_ids")
_TOKENS = ("last_hidden_state", "token_embeddings")
_OLDEST_OPSET = 13  # Unsqueeze and ReduceSum take their axes as an input since then
_QUANTIZED = ("QuantizeLinear", "DynamicQuantizeLinear", "DequantizeLinear", "MatMulNBits")


def open_graph(
    path: Path, files: Files, config: Fields | None, modules: Modules | None, options: SourceOptions
) -> Draft:
    """Load and check the file; ModelError or NumericsError says what about it cannot be used."""
    model = _load(path, files)
    _check_graph(model, path)
    task, output = _pick_output(model.graph, path, options)
    size = _last_axis(output, task, path)
    if task == "classification":
        refuse_pooling(options, "the model is a classifier")
        labels, several = read_labels(config, size)
        set_output(model.graph, output, "logits", size)
        draft = Draft(model, task, "logits", "onnx file", labels=labels, multi_label=several)
    else:
        pooling, unit = _finish_embedding(model.graph, output, modules, options)
        draft = Draft(model, task, "sentence_embedding", "onnx file", pooling=pooling, normalize=unit)
    RemoveUnusedNodesPass()(model)
    return draft


def _load(path: Path, files: Files) -> ir.Model:
    try:
        model = ir.load(files.take(path))
        for value in model.graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                files.take(Path(value.const_value.path))
        ir.external_data.load_to_model(model)
        RemoveInitializersFromInputsPass()(model)
        ShapeInferencePass()(model)
    except OSError as error:
        hint = "an ONNX model's external data must lie beside it"
        raise ModelError(f"cannot read the ONNX model: {error}", where=path, hint=hint) from error
    except (DecodeError, ValueError, TypeError, RuntimeError) as error:
        hint = "the file is damaged, was cut off, or is no ONNX model"
        raise ModelError(f"cannot read the ONNX model: {error}", where=path, hint=hint) from error
    return model


def _check_graph(model: ir.Model, path: Path) -> None:
    graph = model.graph
    opset = graph.opset_imports.get("", 0)
    if opset < _OLDEST_OPSET:
        hint = "export the model again: optimum-cli export onnx --opset 18"
        raise ModelError(
            "the ONNX model's opset is too old",
            where=path,
            got=opset,
            expected=f"{_OLDEST_OPSET} or newer",
            hint=hint,
        )
    quantized = next((node for node in graph if node.op_type in _QUANTIZED or "Integer" in node.op_type), None)
    if quantized is not None:
        hint = "edgequant starts from the float model"
        raise ModelError(
            "the ONNX model is quantized already",
            where=path,
            got=f"{quantized.op_type} {quantized.name}",
            hint=hint,
        )
    names = [value.name for value in graph.inputs]
    odd = [name for name in names if name not in _INPUTS] + [name for name in _REQUIRED if name not in names]
    if odd:
        expected = "input_ids, attention_mask and perhaps token_type_ids"
        raise ModelError(
            "the ONNX model has other inputs",
            where=path,
            got=", ".join(map(str, names)) or "none",
            expected=expected,
        )
    for value in graph.inputs:
        fits = value.shape is not None and [type(n) for n in value.shape] == [ir.SymbolicDim] * 2
        if not fits or value.dtype != ir.DataType.INT64:
            hint = "export the model with dynamic axes (optimum-cli export onnx does)"
            expected = "int64 [batch, sequence], both dynamic"
            raise ModelError(
                f"input {value.name} does not fit",
                where=path,
                got=_described(value),
                expected=expected,
                hint=hint,
            )
    for name, value in graph.initializers.items():
        tensor = value.const_value
        if tensor is not None and tensor.dtype == ir.DataType.FLOAT and np.isnan(tensor.numpy()).any():
            raise NumericsError(f"tensor {name} has values that are NaN", where=path, hint="the model is damaged")


def _pick_output(graph: ir.Graph, path: Path, options: SourceOptions) -> tuple[Task, ir.Value]:
    """Return the task and the output that serves it."""
    named = {str(value.name): value for value in graph.outputs}
    embeddings = (*_TOKENS, "sentence_embedding") if options.pooling else ("sentence_embedding", *_TOKENS)
    tasks: dict[Task, tuple[str, ...]] = {"classification": ("logits",), "embedding": embeddings}
    for task, names in tasks.items():
        found = next((named[name] for name in names if name in named), None)
        if found is None and options.task == task and len(named) == 1:
            found = graph.outputs[0]
        if found is not None and options.task in (None, task):
            if found.dtype != ir.DataType.FLOAT:
                raise ModelError(
                    "the output is not float32",
                    where=path,
                    got=_described(found),
                    hint="export a float32 model",
                )
            return task, found
    hint = "" if options.task else "if the model has one output of another name, say what it is (--task)"
    expected = "logits, sentence_embedding, last_hidden_state or token_embeddings"
    raise ModelError(
        "the ONNX model has no output to use", where=path, got=", ".join(named), expected=expected, hint=hint
    )


def _last_axis(output: ir.Value, task: Task, path: Path) -> int:
    """Return how many labels or dimensions the output has; ModelError if its shape is another."""
    shape = tuple(output.shape) if output.shape is not None else ()
    if len(shape) in ((2,) if task == "classification" else (2, 3)) and isinstance(shape[-1], int):
        return shape[-1]
    logits = task == "classification"
    expected = "[batch, labels]" if logits else "[batch, size] or [batch, sequence, size], the size being a number"
    hint = "token classification, masked language models and question answering are not supported yet"
    raise ModelError(
        f"the output cannot serve for {task}",
        where=path,
        got=_described(output),
        expected=expected,
        hint=hint if logits else "",
    )


def _finish_embedding(
    graph: ir.Graph, output: ir.Value, modules: Modules | None, options: SourceOptions
) -> tuple[str | None, bool]:
    """Append what is missing; return appended pooling and appended normalization."""
    writer, shape = GraphWriter(graph), tuple(output.shape or ())
    if len(shape) == 2:
        if options.pooling:
            refuse_pooling(options, "the ONNX model gives sentence embeddings already")
        unit = bool(options.normalize)
        output = normalize(writer, output) if unit else output
        set_output(graph, output, "sentence_embedding", cast(int, shape[-1]))
        return None, unit
    mask = next(value for value in graph.inputs if value.name == "attention_mask")
    tail = tail_of(modules, options)
    output, size = finish_embedding(writer, output, cast(int, shape[-1]), mask, tail)
    set_output(graph, output, "sentence_embedding", size)
    return tail.pooling_name, tail.normalizes


def _described(value: ir.Value) -> str:
    shape = "unknown shape" if value.shape is None else f"[{', '.join(str(n) for n in value.shape)}]"
    return f"{value.name}: {value.dtype} {shape}"
