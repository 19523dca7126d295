"""Linear layers that share one input become one: Q, K and V are quantized once and multiplied in one GEMM."""

import itertools
from collections import defaultdict

import numpy as np
import onnx_ir as ir

from toolkit.lower.constants import initializer
from toolkit.lower.linear import Linear, find_linears


class MergeSiblingLinears(ir.passes.InPlacePass):
    """``x@A+a, x@B+b, …`` → ``Split(x@[A B …]+[a b …])``.

    Requires: every node and value named. Ensures: no two linear layers share an input, unless one feeds a graph
    output directly, or the opset is below 13 (Split with sizes as an input).
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Merge every family of siblings of the main graph."""
        graph = model.graph
        if graph.opset_imports.get("", 0) < 13:
            return ir.passes.PassResult(model, modified=False)
        families: dict[str, list[Linear]] = defaultdict(list)
        for linear in find_linears(graph):
            families[linear.input].append(linear)
        outputs = {value.name for value in graph.outputs}
        merged = [
            family
            for family in families.values()
            if len(family) > 1 and not any(linear.output in outputs for linear in family)
        ]
        nodes = {str(node.name): node for node in graph}
        for family in merged:
            _merge(graph, nodes, family)
        return ir.passes.PassResult(model, modified=bool(merged))


def _merge(graph: ir.Graph, nodes: dict[str, ir.Node], family: list[Linear]) -> None:
    name = merged_name([linear.name for linear in family])
    widths = [linear.weight.shape[1] for linear in family]
    biases = [
        np.zeros(width, np.float32) if b.bias is None else b.bias for b, width in zip(family, widths, strict=True)
    ]
    old = [nodes[node] for linear in family for node in linear.nodes]
    tape = ir.tape.Tape()
    weight = initializer(graph, f"{name}.weight", np.concatenate([linear.weight for linear in family], 1))
    bias = initializer(graph, f"{name}.bias", np.concatenate(biases))
    sizes = initializer(graph, f"{name}.sizes", np.array(widths, np.int64))
    product = tape.op("MatMul", [old[0].inputs[0], weight], name=name)
    product.name = f"{name}.product"
    total = tape.op("Add", [product, bias], name=f"{name}.add")
    total.name = f"{name}.output"
    parts = tape.op_multi_out(
        "Split", [total, sizes], num_outputs=len(family), attributes={"axis": -1}, name=f"{name}.split"
    )
    for linear, part in zip(family, parts, strict=True):
        output = nodes[linear.nodes[-1]].outputs[0]
        ir.convenience.replace_all_uses_with(output, part)
        output.name, part.name = f"{linear.output}.unmerged", linear.output
    graph.insert_before(min(old, key=graph.index), tape.nodes)
    graph.remove(old, safe=True)


def merged_name(names: list[str]) -> str:
    """Return one name for siblings: ``a.query.w, a.key.w, a.value.w`` → ``a.query+key+value.w``."""
    head = _to_separator(_common_prefix(names))
    tail = _to_separator(_common_prefix([name[len(head) :][::-1] for name in names]))[::-1]
    return head + "+".join(name[len(head) : len(name) - len(tail)] for name in names) + tail


def _common_prefix(names: list[str]) -> str:
    shared = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in shared)


def _to_separator(prefix: str) -> str:
    return prefix[: max(prefix.rfind("."), prefix.rfind("/")) + 1]
