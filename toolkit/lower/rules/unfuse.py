"""Operators that other optimizers fused are taken apart, so that what is inside can be int8, and be fused as suits."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import onnx_ir as ir

MICROSOFT = "com.microsoft"


class Unfusing(ABC):
    """How one operator of com.microsoft is taken apart. Source: onnxruntime/docs/ContribOperators.md."""

    op_type: str

    @abstractmethod
    def refusal(self, node: ir.Node) -> str:
        """Return why this node cannot be taken apart, or nothing."""

    @abstractmethod
    def rewrite(self, graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node) -> dict[int, ir.Value]:
        """Write the parts to the tape, and return what stands for the node's outputs, by their places."""


class Unfuse(ir.passes.InPlacePass):
    """Take apart what the rules can. Requires: every node and value named."""

    def __init__(self, rules: Sequence[Unfusing]) -> None:
        super().__init__()
        self._rules = {rule.op_type: rule for rule in rules}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Take apart the nodes of the main graph."""
        modified = False
        for node in tuple(model.graph):
            rule = self._rules.get(node.op_type) if node.domain == MICROSOFT else None
            if rule is not None and not self.refusal(node):
                _replace(model.graph, node, rule)
                modified = True
        return ir.passes.PassResult(model, modified)

    def refusal(self, node: ir.Node) -> str:
        """Return why a fused node stays as it is; nothing where it can be taken apart, or is none of these."""
        rule = self._rules.get(node.op_type) if node.domain == MICROSOFT else None
        return "" if rule is None else rule.refusal(node)


def used(node: ir.Node, place: int) -> bool:
    """Tell whether anything sees an output of a node."""
    if place >= len(node.outputs):
        return False
    value = node.outputs[place]
    return bool(value.uses()) or value.is_graph_output()


def given(node: ir.Node, place: int) -> ir.Value | None:
    """Return an input of a node, None where it is left out."""
    return node.inputs[place] if place < len(node.inputs) else None


def _replace(graph: ir.Graph, node: ir.Node, rule: Unfusing) -> None:
    tape = ir.tape.Tape()
    new = rule.rewrite(graph, tape, node)
    for place, value in new.items():
        old = node.outputs[place]
        value.type, value.shape = old.type, old.shape
        name, old.name = old.name, f"{old.name}.fused"
        ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
        value.name = name
    graph.insert_before(node, tape.nodes)
    graph.remove(node, safe=True)
