"""One model with every rung of every layer in it, of which each run takes one: rungs are compared without new sessions.

``switch`` is an int64 input [units]: which rung each unit takes. A layer becomes a chain of ``If``, whose branches are
the layer's nodes in the graphs that ``apply`` makes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from toolkit.fallback.pieces import Cutter, Piece
from toolkit.feeds import Feed
from toolkit.lower import Linear
from toolkit.lower.linear import Float

SWITCH = "edgequant.switch"


class Switched:
    """The model loaded, with the texts that it is run on."""

    def __init__(self, model: bytes, feeds: Sequence[Feed], output: str, threads: int | None) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0
        self._session: Any = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._feeds, self._output = feeds, output

    def outputs(self, levels: Sequence[int]) -> Float:
        """Return the output for all texts with each unit in one rung: [texts, or tokens; dimension]."""
        switch = {SWITCH: np.array(levels, np.int64)} if SWITCH in {i.name for i in self._session.get_inputs()} else {}
        found = [self._session.run([self._output], {**feed, **switch})[0] for feed in self._feeds]
        return np.concatenate([part.reshape(-1, part.shape[-1]) for part in found])


def switchable(rungs: Sequence[onnx.ModelProto], units: Sequence[Sequence[Linear]]) -> bytes:
    """Return the model of which a run chooses: ``rungs`` are of one lowered graph, in the last all units are float."""
    cutters = [Cutter(rung.graph) for rung in rungs]
    model = onnx.ModelProto()
    model.CopyFrom(rungs[-1])
    graph = model.graph
    graph.input.append(helper.make_tensor_value_info(SWITCH, TensorProto.INT64, [len(units)]))
    graph.initializer.extend(_number(f"{SWITCH}.{number}", number) for number in range(max(len(units), len(rungs))))
    gone: set[str] = set()
    put: dict[str, list[onnx.NodeProto]] = {}
    for number, linears in enumerate(units):
        for linear in linears:
            pieces = [cutter.piece(linear) for cutter in cutters]
            gone |= {node.output[0] for node in pieces[-1].nodes}
            put[linear.output] = _choice(graph, number, linear, pieces)
    kept = [
        new
        for node in graph.node
        for new in (put[node.output[0]] if node.output[0] in put else [] if node.output[0] in gone else [node])
    ]
    del graph.node[:]
    graph.node.extend(kept)
    del model.opset_import[:]
    known = {imported.domain: imported for rung in rungs for imported in rung.opset_import}
    model.opset_import.extend(known.values())
    return bytes(model.SerializeToString())


def _choice(graph: onnx.GraphProto, unit: int, linear: Linear, pieces: Sequence[Piece]) -> list[onnx.NodeProto]:
    level = f"{linear.output}.level"
    last = len(pieces) - 1
    chain = _branch(pieces[last], f"{last}|", linear)
    before = [helper.make_node("Gather", [SWITCH, f"{SWITCH}.{unit}"], [level])]
    for rung in reversed(range(last)):
        graph.initializer.extend(_renamed(pieces[rung].constants.values(), f"{rung}|"))
        chosen, output = f"{linear.output}.is{rung}", linear.output if rung == 0 else f"{rung}|{linear.output}.else"
        before.append(helper.make_node("Equal", [level, f"{SWITCH}.{rung}"], [chosen]))
        then = _branch(pieces[rung], f"{rung}|", linear, own_constants=True)
        node = helper.make_node("If", [chosen], [output], then_branch=then, else_branch=chain)
        chain = helper.make_graph([node], f"{rung}|{linear.output}", [], [_float(output)])
    return [*before, node]


def _branch(piece: Piece, prefix: str, linear: Linear, *, own_constants: bool = False) -> onnx.GraphProto:
    made = {name for node in piece.nodes for name in node.output}
    ours = made | (piece.constants.keys() if own_constants else set())
    nodes = []
    for old in piece.nodes:
        node = onnx.NodeProto()
        node.CopyFrom(old)
        node.name = prefix + old.name
        node.input[:] = [prefix + name if name in ours else name for name in old.input]
        node.output[:] = [prefix + name for name in old.output]
        nodes.append(node)
    return helper.make_graph(nodes, f"{prefix}{linear.name}", [], [_float(prefix + linear.output)])


def _renamed(tensors: Iterable[TensorProto], prefix: str) -> Iterable[TensorProto]:
    for tensor in tensors:
        copy = TensorProto()
        copy.CopyFrom(tensor)
        copy.name = prefix + tensor.name
        yield copy


def _number(name: str, value: int) -> TensorProto:
    return numpy_helper.from_array(np.array(value, np.int64), name)


def _float(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
