"""Arranging: the hidden channels of feed-forward layers in the order of their ranges, the widest last.

Where only functions of single elements stand between two linear layers, the columns of the first and the rows of the
second can be permuted together, and the model's function stays what it is. The channels of widest range, a few of
which are ten times the others in trained models, are then one block at the end, which costs little to treat apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from toolkit.lower import Linear, Lowered
from toolkit.lower.constants import constant, initializer
from toolkit.observe import Activation, Ranges

ELEMENTWISE = frozenset(
    (
        *("Add", "Clip", "Div", "Elu", "Erf", "FastGelu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish"),
        *("Mul", "Pow", "QuickGelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh"),
    )
)
"""Operators whose output at an element depends on the inputs at that element and on single numbers alone."""


@dataclass(frozen=True)
class _Couple:
    """A linear layer whose outputs become another one's inputs, element by element."""

    maker: str
    taker: str


def arrange(lowered: Lowered, ranges: Ranges) -> tuple[Lowered, Ranges]:
    """Return the graph, and what was seen of it, with channels in ascending order of their ranges where possible.

    The inputs of linear layers for which it is so are in ``Lowered.sorted_inputs``. Layers that share their weights,
    as ALBERT's do, go on sharing them, in the order of the widest ranges of any of them.
    """
    model = lowered.model.clone()
    nodes = {str(node.name): node for node in model.graph}
    linears, seen = {linear.name: linear for linear in lowered.linears}, dict(ranges.activations)
    taken: set[str] = set()
    for couples in _groups(lowered, nodes):
        inputs = {linears[couple.taker].input for couple in couples}
        order = np.argsort(np.max([_peaks(seen[name]) for name in inputs], axis=0), kind="stable")
        seen |= {name: _reordered(seen[name], order) for name in inputs}
        taken |= inputs
        permutation = _Permutation(model.graph, nodes, order)
        for couple in couples:
            linears[couple.maker] = permutation.columns(linears[couple.maker])
            linears[couple.taker] = permutation.rows(linears[couple.taker])
    in_order = tuple(linears[linear.name] for linear in lowered.linears)
    arranged = replace(lowered, model=model, linears=in_order, sorted_inputs=frozenset(taken))
    return arranged, replace(ranges, activations=seen)


def _peaks(seen: Activation) -> npt.NDArray[np.float32]:
    return np.maximum(-seen.minimum, seen.maximum)


def _reordered(seen: Activation, order: npt.NDArray[np.intp]) -> Activation:
    sample = np.ascontiguousarray(seen.sample[:, order])
    moment = np.ascontiguousarray(seen.moment[np.ix_(order, order)])
    return replace(seen, minimum=seen.minimum[order], maximum=seen.maximum[order], sample=sample, moment=moment)


class _Permutation:
    """One order of the channels between layers; a constant that several layers share is permuted once."""

    def __init__(self, graph: ir.Graph, nodes: dict[str, ir.Node], order: npt.NDArray[np.intp]) -> None:
        self._graph, self._nodes, self._order = graph, nodes, order
        self._made: dict[tuple[str, str], ir.Value] = {}

    def columns(self, linear: Linear) -> Linear:
        """Permute what a layer gives."""
        weight = np.ascontiguousarray(linear.weight[:, self._order])
        self._exchange(self._nodes[linear.nodes[0]], 1, weight, "columns")
        if linear.bias is None:
            return replace(linear, weight=weight)
        bias, add = linear.bias[self._order], self._nodes[linear.nodes[-1]]
        place = next(index for index, value in enumerate(add.inputs) if constant(value) is not None)
        self._exchange(add, place, bias, "bias")
        return replace(linear, weight=weight, bias=bias)

    def rows(self, linear: Linear) -> Linear:
        """Permute what a layer takes."""
        weight = np.ascontiguousarray(linear.weight[self._order])
        self._exchange(self._nodes[linear.nodes[0]], 1, weight, "rows")
        return replace(linear, weight=weight)

    def _exchange(self, node: ir.Node, place: int, array: npt.NDArray[Any], kind: str) -> None:
        old = str(getattr(node.inputs[place], "name", ""))
        if (old, kind) not in self._made:
            self._made[old, kind] = initializer(self._graph, f"{old}.sorted", array)
        node.replace_input_with(place, self._made[old, kind])


def _groups(lowered: Lowered, nodes: dict[str, ir.Node]) -> list[list[_Couple]]:
    """Return the couples, those of the same two weights together."""
    groups: dict[tuple[str, str], list[_Couple]] = {}
    makers = {linear.nodes[-1]: linear for linear in lowered.linears}
    for taker in lowered.linears:
        maker = _maker(nodes[taker.nodes[0]], makers)
        if maker is not None and nodes[taker.nodes[0]].op_type == nodes[maker.nodes[0]].op_type == "MatMul":
            first, second = (str(getattr(nodes[each.nodes[0]].inputs[1], "name", "")) for each in (maker, taker))
            groups.setdefault((first, second), []).append(_Couple(maker.name, taker.name))
    return list(groups.values())


def _maker(taker: ir.Node, makers: dict[str, Linear]) -> Linear | None:
    """Return the layer that alone makes what a node takes, with nothing but elementwise functions in between."""
    found: set[str] = set()
    inner, passed = {taker}, set()
    waiting = [taker.inputs[0]]
    while waiting:
        value = waiting.pop()
        node = None if value is None or value.is_graph_output() else value.producer()
        if value is None or node is None or not (node.name in makers or node.op_type in ELEMENTWISE):
            return None
        passed.add(value)
        if node.name in makers:
            found.add(str(node.name))
        elif node not in inner:
            inner.add(node)
            waiting += _varying(node)
    alone = all(use.node in inner for value in passed for use in value.uses())
    return makers[found.pop()] if alone and len(found) == 1 else None


def _varying(node: ir.Node) -> Iterator[ir.Value | None]:
    """Yield the inputs of a node but for those that are one constant number."""
    for value in node.inputs:
        if value is not None and ((known := constant(value)) is None or known.size != 1):
            yield value
