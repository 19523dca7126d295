"""A float ONNX model checked, reduced to one output, pooled where that is missing."""

from pathlib import Path
from typing import cast

import numpy as np
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
from onnx_ir.passes.common import RemoveInitializersFromInputsPass, RemoveUnusedNodesPass, ShapeInferencePass

from toolkit.errors import ModelError, NumericsError
from toolkit.runtime.manifest import Task
from toolkit.sources.draft import Draft, refuse_pooling
from toolkit.sources.files import Fields, Files
from toolkit.sources.heads import finish_embedding, normalize, tail_of
from toolkit.sources.labels import read_labels, sequence_task
from toolkit.sources.options import SourceOptions
from toolkit.sources.sentence_transformers import Modules
from toolkit.sources.widen import Widen
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
    model = _load(path, files, widens=not options.quantized)
    _check_graph(model, path, quantized=options.quantized)
    task, output = _pick_output(model.graph, path, options)
    size = _last_axis(output, task, path)
    if task != "embedding":
        refuse_pooling(options, "the model is a classifier")
        draft = _classifier(model, (task, output, size), config, options)
    else:
        pooling, unit = _finish_embedding(model.graph, output, modules, options)
        draft = Draft(model, task, "sentence_embedding", "onnx file", pooling=pooling, normalize=unit)
    RemoveUnusedNodesPass()(model)
    return draft


def _classifier(
    model: ir.Model, found: tuple[Task, ir.Value, int], config: Fields | None, options: SourceOptions
) -> Draft:
    """Return the draft of a classifier of texts or tokens, or of a reranker: a classifier of texts with one logit."""
    task, output, size = found
    by_token = task == "token-classification"
    if not by_token:
        task = sequence_task(config, size, options.task)
    labels, several = ((), False) if task == "reranking" else read_labels(config, size)
    set_output(model.graph, output, "logits", size, by_token=by_token)
    return Draft(model, task, "logits", "onnx file", labels=labels, multi_label=several and not by_token)


def _load(path: Path, files: Files, *, widens: bool) -> ir.Model:
    try:
        model = ir.load(files.take(path))
        for value in model.graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                files.take(Path(value.const_value.path))
        ir.external_data.load_to_model(model)
        RemoveInitializersFromInputsPass()(model)
        if widens:
            Widen()(model)
        ShapeInferencePass()(model)
    except OSError as error:
        hint = "an ONNX model's external data must lie beside it"
        raise ModelError(f"cannot read the ONNX model: {error}", where=path, hint=hint) from error
    except (DecodeError, ValueError, TypeError, RuntimeError) as error:
        hint = "the file is damaged, was cut off, or is no ONNX model"
        raise ModelError(f"cannot read the ONNX model: {error}", where=path, hint=hint) from error
    return model


def _check_graph(model: ir.Model, path: Path, *, quantized: bool) -> None:
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
    integer = next((node for node in graph if node.op_type in _QUANTIZED or "Integer" in node.op_type), None)
    if integer is not None and not quantized:
        hint = "edgequant starts from the float model"
        raise ModelError(
            "the ONNX model is quantized already",
            where=path,
            got=f"{integer.op_type} {integer.name}",
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
        if (
            not quantized
            and tensor is not None
            and tensor.dtype == ir.DataType.FLOAT
            and np.isnan(tensor.numpy()).any()
        ):
            raise NumericsError(f"tensor {name} has values that are NaN", where=path, hint="the model is damaged")


def _pick_output(graph: ir.Graph, path: Path, options: SourceOptions) -> tuple[Task, ir.Value]:
    """Return the task and the output that serves it; logits of three axes are those of tokens."""
    named = {str(value.name): value for value in graph.outputs}
    embeddings = (*_TOKENS, "sentence_embedding") if options.pooling else ("sentence_embedding", *_TOKENS)
    by_token = "logits" in named and len(tuple(named["logits"].shape or ())) == 3
    task = options.task or (
        "token-classification" if by_token else "classification" if "logits" in named else "embedding"
    )
    found = next((named[name] for name in (embeddings if task == "embedding" else ("logits",)) if name in named), None)
    if found is None and options.task and len(named) == 1:
        found = graph.outputs[0]
    if found is None:
        hint = "" if options.task else "if the model has one output of another name, say what it is (--task)"
        expected = "logits, sentence_embedding, last_hidden_state or token_embeddings"
        got = ", ".join(named)
        raise ModelError("the ONNX model has no output to use", where=path, got=got, expected=expected, hint=hint)
    if found.dtype != ir.DataType.FLOAT:
        hint = "export a float32 model"
        raise ModelError("the output is not float32", where=path, got=_described(found), hint=hint)
    return task, found


_SHAPES: dict[Task, tuple[tuple[int, ...], str]] = {
    "embedding": ((2, 3), "[batch, size] or [batch, sequence, size], the size being a number"),
    "classification": ((2,), "[batch, labels]"),
    "reranking": ((2,), "[batch, 1]"),
    "token-classification": ((3,), "[batch, sequence, labels]"),
}


def _last_axis(output: ir.Value, task: Task, path: Path) -> int:
    """Return how many labels or dimensions the output has; ModelError if its shape is another."""
    shape = tuple(output.shape) if output.shape is not None else ()
    ranks, expected = _SHAPES[task]
    if len(shape) in ranks and isinstance(shape[-1], int):
        return shape[-1]
    got = _described(output)
    raise ModelError(f"the output cannot serve for {task}", where=path, got=got, expected=expected)


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
