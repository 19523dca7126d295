"""An ONNX file of any kind, read and checked: what about it cannot be used is said in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
from onnx import TensorProto, helper, inliner

from toolkit.errors import ModelError
from toolkit.runtime.tensor_manifest import DYNAMIC, Kind, TensorInfo
from toolkit.sources.files import Files

NEWEST_IR = 13
"""The newest that onnxruntime 1.30 loads; what came later are types that no graph here may hold."""

_NOT_ONNX = "the file is damaged, was cut off, or is no ONNX model"
_KINDS: dict[int, Kind] = {helper.np_dtype_to_tensor_dtype(np.dtype(kind)): kind for kind in get_args(Kind)}
_INTEGER = ("QuantizeLinear", "DequantizeLinear", "MatMulNBits", "QAttention", "QGemm")
_INTEGER_PREFIXES = ("QLinear", "DynamicQuantize")


def read_graph(path: Path, files: Files) -> onnx.ModelProto:
    """Return the model, its external data in it, each file counted among those read; ModelError if it cannot be used.

    Initializers that are inputs too become plain constants, functions of the model's own are put in place, and a newer
    IR version is lowered to one that onnxruntime loads.
    """
    model = _load(path, files)
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = max(4, min(model.ir_version, NEWEST_IR))  # from 4 on, initializers need not be inputs
    _check_float(graph, path)
    return model


def interface(model: onnx.ModelProto, path: Path) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Return inputs and outputs; ModelError for one that is no array of numbers, and where there are none."""
    graph = model.graph
    if not graph.input:
        raise ModelError("the model has no input: it computes a constant", where=path)
    if not graph.output:
        raise ModelError("the model has no output", where=path)
    inputs = tuple(_info(value, path) for value in graph.input)
    shapeless = next((tensor.name for tensor in inputs if tensor.shape is None), None)
    if shapeless is not None:
        hint = "export the model with shapes"
        raise ModelError(f"the number of axes of input {shapeless!r} is unknown", where=path, hint=hint)
    return inputs, tuple(_info(value, path) for value in graph.output)


def graphs_in(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs inside a node."""
    for attribute in node.attribute:
        yield from (inner for inner in (attribute.g, *attribute.graphs) if inner.node or inner.output)


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of all graphs inside its nodes."""
    for node in graph.node:
        yield node
        for inner in graphs_in(node):
            yield from nodes_of(inner)


def _load(path: Path, files: Files) -> onnx.ModelProto:
    try:
        model = onnx.load(files.take(path), load_external_data=False)
        for tensor in _external(model.graph):
            files.take(path.parent / next(entry.value for entry in tensor.external_data if entry.key == "location"))
        onnx.load_external_data_for_model(model, str(path.parent))
        _require_text(model.graph)
        if model.functions:
            model = inliner.inline_local_functions(model)
    except OSError as error:
        hint = "an ONNX model's external data must lie beside it"
        raise ModelError(f"cannot read the ONNX model: {error}", where=path, hint=hint) from error
    except Exception as error:
        raise ModelError(f"cannot read the ONNX model: {error}", where=path, hint=_NOT_ONNX) from error
    if not model.opset_import or not model.graph.node:
        raise ModelError("cannot read the ONNX model: it holds no graph", where=path, hint=_NOT_ONNX)
    return model


def _require_text(graph: onnx.GraphProto) -> None:
    """Raise ValueError for a name that is no text: protobuf gives bytes for such, or fails wherever it is looked at."""
    values = (*graph.initializer, *graph.input, *graph.output, *graph.value_info)
    names: list[object] = [value.name for value in values]
    for node in nodes_of(graph):
        names += [
            node.name,
            node.op_type,
            node.domain,
            *node.input,
            *node.output,
            *(one.name for one in node.attribute),
        ]
    strange = next((name for name in names if not isinstance(name, str)), None)
    if strange is not None:
        raise ValueError(f"the name {strange!r} is no UTF-8")


def _external(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors of a graph, and of graphs inside its nodes, whose numbers lie in other files."""
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            yield tensor
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.t.data_location == TensorProto.EXTERNAL:
                yield attribute.t
        for inner in graphs_in(node):
            yield from _external(inner)


def _check_float(graph: onnx.GraphProto, path: Path) -> None:
    for node in nodes_of(graph):
        if node.op_type in _INTEGER or "Integer" in node.op_type or node.op_type.startswith(_INTEGER_PREFIXES):
            got, hint = f"{node.op_type} {node.name}", "edgequant starts from the float model"
            raise ModelError("the ONNX model is quantized already", where=path, got=got, hint=hint)


def _info(value: onnx.ValueInfoProto, path: Path) -> TensorInfo:
    kind = _KINDS.get(value.type.tensor_type.elem_type) if value.type.HasField("tensor_type") else None
    if kind is None:
        got = value.type.WhichOneof("value") or "no type"
        if got == "tensor_type":
            got = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
        what = f"{value.name!r} is no array of numbers, and the model goes in and out by such"
        raise ModelError(what, where=path, got=got, expected=", ".join(get_args(Kind)))
    if not value.type.tensor_type.HasField("shape"):
        return TensorInfo(value.name, kind, None)
    dimensions = value.type.tensor_type.shape.dim
    return TensorInfo(
        value.name, kind, tuple(one.dim_value if one.HasField("dim_value") else DYNAMIC for one in dimensions)
    )
