"""Tiny ONNX graphs, and running them: shared by the tests of the engine's stages."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from onnx import NodeProto, TensorProto, helper, numpy_helper

Arrays = Mapping[str, np.ndarray]


def node(kind: str, inputs: Sequence[str], output: str, **attributes: object) -> NodeProto:
    """Return a node that is named after its output."""
    return helper.make_node(kind, list(inputs), [output], name=f"n.{output}", **attributes)


def graph(
    nodes: Sequence[NodeProto],
    constants: Arrays,
    inputs: Mapping[str, Sequence[str | int]] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 20,
) -> ir.Model:
    """Return a float model: ``inputs`` by name are float with a shape (default: x [rows, 4]), or int64 for ``ids``."""
    shapes = inputs or {"x": ["rows", 4]}
    fed = [
        helper.make_tensor_value_info(name, TensorProto.INT64 if name == "ids" else TensorProto.FLOAT, list(shape))
        for name, shape in shapes.items()
    ]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    held = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "test", fed, given, held),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=10,
    )
    return ir.from_proto(model)


def lookup(table: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> ir.Model:
    """Return ``y = table[ids] @ weight + bias`` for ids [batch, length]: what flows in is known exactly."""
    constants = {"table": table, "weight": weight} | ({} if bias is None else {"bias": bias})
    nodes = [
        node("Gather", ["table", "ids"], "x"),
        node("MatMul", ["x", "weight"], "y" if bias is None else "product"),
        *([] if bias is None else [node("Add", ["product", "bias"], "y")]),
    ]
    return graph(nodes, constants, {"ids": ["batch", "length"]})


def integers(seed: int, *shape: int) -> np.ndarray:
    """Return small whole numbers as float32: their products and sums are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def serialized(model: ir.Model) -> bytes:
    """Return the model's bytes."""
    return ir.to_proto(model).SerializeToString()


def run(model: ir.Model, feed: Arrays) -> dict[str, np.ndarray]:
    """Return every output by name, as ONNX Runtime computes it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(serialized(model), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feed)), strict=True))


def operators(model: ir.Model) -> list[str]:
    """Return the operators of the main graph, in its order."""
    return [each.op_type for each in model.graph]
