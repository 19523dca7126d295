"""Reading and writing the graph of a causal model, whose weights may be more than one file can hold."""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolkit.errors import ModelError
from toolkit.lower.constants import constant

ONE_FILE = 1_900_000_000
"""Bytes of weights up to which they stand in the ONNX file itself: protobuf ends at 2 GiB."""
DATA = ".data"


def load_graph(path: Path) -> ir.Model:
    """Read a graph with constants for transposed ones; too many weights for one file stay where they are."""
    try:
        model = ir.load(path)
    except Exception as error:
        raise ModelError("the graph cannot be read", where=path, got=error) from error
    if _weight_bytes(model) <= ONE_FILE:
        ir.external_data.load_to_model(model)
    _fold_transposes(model.graph)
    return model


def save_graph(model: ir.Model, path: Path) -> tuple[Path, ...]:
    """Write a graph and return its files: itself, and its weights where they are too many for one."""
    if _weight_bytes(model) <= ONE_FILE:
        path.write_bytes(ir.to_proto(model).SerializeToString())
        return (path,)
    data = path.name + DATA
    ir.save(model, path, external_data=data)
    return path, path.with_name(data)


def _weight_bytes(model: ir.Model) -> int:
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _fold_transposes(graph: ir.Graph) -> None:
    """Make a constant of each transposed one: a tied output layer is a transposed embedding table, or the reverse."""
    for node in [node for node in graph if node.op_type == "Transpose"]:
        array = constant(node.inputs[0])
        if array is None or array.ndim != 2:
            continue
        folded = ir.tensor(np.ascontiguousarray(array.T), name=f"{node.name}.folded")
        value = ir.val(folded.name, const_value=folded)
        graph.register_initializer(value)
        ir.convenience.replace_all_uses_with(node.outputs[0], value)
        graph.remove(node, safe=True)
