"""Adding named nodes to an ONNX graph: a thin layer of naming over onnx_ir's tape."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

OPSET = 20  # Gelu came with 20, LayerNormalization with 17
IR_VERSION = 9  # what opset 20 asks for; onnxruntime reads it since 1.15

Attribute = int | float | str | Sequence[int]


class GraphWriter:
    """Appends to ``graph``. Scopes are names of modules: ``encoder.layer.0.attention.self.query``."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.opset = graph.opset_imports.get("", OPSET)
        self._tape = ir.tape.Tape(graph)

    def constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        """Return the initializer ``name``, made of ``array`` unless there is one already."""
        known = self.graph.initializers.get(name)
        if known is not None:
            return known
        return self._tape.initializer(ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name))

    def op(
        self,
        node: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        result: str = "",
    ) -> ir.Value:
        """Append the node ``scope/OpType`` and return its output, named ``result`` or like the node.

        Where a scope holds two nodes of one type, ``scope/OpType.what`` tells them apart.
        """
        kind = node.rpartition("/")[2].partition(".")[0]
        value = ir.Value(name=result or node)
        return self._tape.op(kind, inputs, attributes, name=node, output=value)

    def cast(self, node: str, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Append a Cast."""
        return self.op(node, [value], {"to": int(dtype)})


def new_graph(name: str, inputs: Sequence[str]) -> ir.Graph:
    """Return an empty graph whose inputs are int64 [batch, sequence], both dynamic."""
    shape = ("batch", "sequence")
    values = [ir.Value(name=i, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.INT64)) for i in inputs]
    return ir.Graph(values, [], nodes=[], opset_imports={"": OPSET}, name=name)


def set_output(graph: ir.Graph, value: ir.Value, name: str, size: int, *, by_token: bool = False) -> None:
    """Make ``value`` the graph's one output: float32 [batch, size] or [batch, sequence, size], called ``name``."""
    for other in graph.outputs:
        if other is not value and other.name == name:
            other.name = f"{name}/before"
    value.name = name
    value.dtype = ir.DataType.FLOAT
    value.shape = ir.Shape(("batch", "sequence", size) if by_token else ("batch", size))
    graph.outputs[:] = [value]
