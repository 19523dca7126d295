"""Detectors that end in a choice among rows: they are judged by what the choice is made from.

What NonMaxSuppression or TopK keep, and in which order, turns on the last bits of close scores: rows of two models
then stand for different boxes, and no number compares them.
"""

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from toolkit.graphs.calibrating import with_outputs
from toolkit.graphs.preparing import FloatGraph
from toolkit.graphs.quantizing import Layer
from toolkit.runtime.tensor_manifest import TensorInfo

SELECTING = ("NonMaxSuppression", "NonZero", "TopK", "Unique")


def judged_outputs(graph: FloatGraph, layers: tuple[Layer, ...]) -> tuple[TensorInfo, ...]:
    """Return what int8 is judged by: the outputs, or in place of those chosen from rows what they are chosen from.

    A choice with layers after it is a part of the network: then the outputs are judged as they are.
    """
    model = graph.proto()
    chosen, sources = _chosen(model.graph)
    weights = {layer.weight for layer in layers}
    inside = any(weights & set(node.input) for node in model.graph.node if chosen & set(node.input))
    kept = [tensor for tensor in graph.outputs if tensor.name not in chosen]
    if inside or len(kept) == len(graph.outputs):
        return graph.outputs
    known = {tensor.name for tensor in (*kept, *graph.inputs)}
    found = [TensorInfo(name, "float32", None) for name in _floats(model.graph, sources) if name not in known]
    return (*kept, *found) or graph.outputs


def showing(graph: FloatGraph, judged: tuple[TensorInfo, ...]) -> FloatGraph:
    """Return a graph that gives what is judged, too."""
    model = with_outputs(graph.proto(), [tensor.name for tensor in judged])
    kinds = {value.name: value for value in graph.proto().graph.value_info}
    for value in model.graph.output:
        if value.name in kinds:
            value.CopyFrom(kinds[value.name])
    names = [tensor.name for tensor in graph.outputs]
    more = tuple(tensor for tensor in judged if tensor.name not in names)
    return graph.giving(model.SerializeToString(), (*graph.outputs, *more))


def without(model: bytes, graph: FloatGraph) -> bytes:
    """Return a model that gives nothing but the graph's own outputs."""
    names = {tensor.name for tensor in graph.outputs}
    loaded = onnx.load_model_from_string(model)
    kept = [value for value in loaded.graph.output if value.name in names]
    del loaded.graph.output[:]
    loaded.graph.output.extend(kept)
    return bytes(loaded.SerializeToString())


def _chosen(graph: onnx.GraphProto) -> tuple[set[str], list[str]]:
    """Return the tensors that follow from a choice, and those that it is made from, in the graph's order."""
    chosen: set[str] = set()
    sources: dict[str, None] = {}
    for node in graph.node:
        if node.op_type in SELECTING or chosen & set(node.input):
            chosen |= set(node.output)
            sources |= dict.fromkeys(name for name in node.input if name not in chosen)
    return chosen, list(sources)


def _floats(graph: onnx.GraphProto, names: list[str]) -> Iterator[str]:
    """Yield the names of float tensors that are computed."""
    made = {name for node in graph.node for name in node.output}
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    yield from (name for name in names if name in made and kinds.get(name) == TensorProto.FLOAT)
