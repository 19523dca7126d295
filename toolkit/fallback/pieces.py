"""The nodes of one linear layer, cut out of a graph that ``apply`` made."""

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from toolkit.lower import Linear


@dataclass(frozen=True)
class Piece:
    """Nodes between a layer's input and its output, in order, and the constants that they use."""

    nodes: tuple[onnx.NodeProto, ...]
    constants: Mapping[str, TensorProto]

    @property
    def signature(self) -> str:
        """What its time depends on: operators, and the types and shapes of constants."""
        kinds = [f"{node.domain}.{node.op_type}" for node in self.nodes]
        return str((kinds, [(tensor.data_type, *tensor.dims) for tensor in self.constants.values()]))

    def multiply_adds(self, int8_gain: float) -> float:
        """Return the multiply-adds for one row, where an int8 GEMM does ``int8_gain`` of them for one of float."""
        total = 0.0
        for node in self.nodes:
            sizes = [np.prod(self.constants[name].dims) for name in node.input if self._is_matrix(name)]
            total += sum(map(float, sizes)) / (1 if node.op_type in ("MatMul", "Gemm") else int8_gain)
        return total

    def _is_matrix(self, name: str) -> bool:
        return name in self.constants and len(self.constants[name].dims) == 2

    def as_model(self, linear: Linear, like: onnx.ModelProto) -> bytes:
        """Return the piece as a model of its own: [rows, K] → [rows, N]."""
        inner, columns = linear.weight.shape
        fed = helper.make_tensor_value_info(linear.input, TensorProto.FLOAT, ["rows", inner])
        given = helper.make_tensor_value_info(linear.output, TensorProto.FLOAT, ["rows", columns])
        graph = helper.make_graph(self.nodes, "layer", [fed], [given], list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version)
        return bytes(model.SerializeToString())


def size_of(pieces: Iterable[Piece]) -> int:
    """Return the bytes of the constants of pieces of one graph, each counted once."""
    return sum(tensor.ByteSize() for tensor in ChainMap(*(dict(piece.constants) for piece in pieces)).values())


class Cutter:
    """Cuts layers out of one graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._nodes = list(graph.node)
        self._producers = {name: place for place, node in enumerate(graph.node) for name in node.output}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}

    def piece(self, linear: Linear) -> Piece:
        """Return what computes a layer's output from its input."""
        places: set[int] = set()
        wanted = [linear.output]
        while wanted:
            place = self._producers[wanted.pop()]
            if place not in places:
                places.add(place)
                wanted += [name for name in self._nodes[place].input if self._is_inner(name, linear)]
        nodes = tuple(self._nodes[place] for place in sorted(places))
        used = dict.fromkeys(name for node in nodes for name in node.input)
        return Piece(nodes, {name: self._constants[name] for name in used if name in self._constants})

    def _is_inner(self, name: str, linear: Linear) -> bool:
        return bool(name) and name != linear.input and name not in self._constants
