"""SkipLayerNormalization, EmbedLayerNormalization and the GELUs with a bias, taken apart.

ONNX Runtime's CPU kernels of SkipLayerNormalization and BiasGelu are slower than their parts.
"""

import numpy as np
import onnx_ir as ir

from toolkit.lower.constants import constant, initializer
from toolkit.lower.rules.unfuse import MICROSOFT, Unfusing, given, used


class SkipLayerNorm(Unfusing):
    """``SkipLayerNormalization(x, skip, scale, shift, bias)`` → ``LayerNormalization(x + bias + skip)``."""

    op_type = "SkipLayerNormalization"

    def refusal(self, node: ir.Node) -> str:
        """Refuse where its mean or deviation is asked for."""
        return "its mean or its deviation is used" if used(node, 1) or used(node, 2) else ""

    def rewrite(self, graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node) -> dict[int, ir.Value]:
        """Write Add and LayerNormalization."""
        del graph
        total = node.inputs[0]
        if (bias := given(node, 4)) is not None:
            total = tape.op("Add", [total, bias], name=f"{node.name}/Add.bias")
        total = tape.op("Add", [total, node.inputs[1]], name=f"{node.name}/Add")
        found = {0: _normalize(tape, node, [total, node.inputs[2], given(node, 3)])}
        return found | ({3: total} if used(node, 3) else {})


class EmbedLayerNorm(Unfusing):
    """``EmbedLayerNormalization(ids, segments, words, places, kinds, …)`` → three lookups, added and normalized."""

    op_type = "EmbedLayerNormalization"

    def refusal(self, node: ir.Node) -> str:
        """Refuse tables that are computed, and lengths without a mask to count."""
        if used(node, 1) and given(node, 7) is None:
            return "it gives the lengths of texts without a mask"
        if any(constant(given(node, place)) is None for place in (2, 3)):
            return "its tables are no constants"
        return ""

    def rewrite(self, graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node) -> dict[int, ir.Value]:
        """Write the lookups."""
        ids, places = node.inputs[0], given(node, 8)
        total = tape.op("Gather", [node.inputs[2], ids], name=f"{node.name}/words")
        if (kinds := given(node, 1)) is not None:
            rows = tape.op("Gather", [node.inputs[4], kinds], name=f"{node.name}/kinds")
            total = tape.op("Add", [total, rows], name=f"{node.name}/Add.kinds")
        if places is None:
            rows = _first_rows(graph, tape, node)
        else:
            rows = tape.op("Gather", [node.inputs[3], places], name=f"{node.name}/places")
        total = tape.op("Add", [total, rows], name=f"{node.name}/Add.places")
        found = {0: _normalize(tape, node, [total, node.inputs[5], node.inputs[6]])}
        if used(node, 1):
            found[1] = _lengths(graph, tape, node)
        return found | ({2: total} if used(node, 2) else {})


class BiasGelu(Unfusing):
    """``BiasGelu(x, bias)`` → ``Gelu(x + bias)``."""

    op_type, inside = "BiasGelu", "Gelu"

    def refusal(self, node: ir.Node) -> str:
        """Refuse nothing."""
        del node
        return ""

    def rewrite(self, graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node) -> dict[int, ir.Value]:
        """Write Add and the GELU."""
        del graph
        total = node.inputs[0]
        if (bias := given(node, 1)) is not None:
            total = tape.op("Add", [total, bias], name=f"{node.name}/Add")
        return {0: tape.op(self.inside, [total], name=f"{node.name}/{self.inside}", domain=MICROSOFT)}


class FastGelu(BiasGelu):
    """``FastGelu(x, bias)`` → ``FastGelu(x + bias)``."""

    op_type, inside = "FastGelu", "FastGelu"

    def refusal(self, node: ir.Node) -> str:
        """Refuse what has no bias and is as it should be."""
        return "" if given(node, 1) is not None else "it has no bias"


def _normalize(tape: ir.tape.Tape, node: ir.Node, inputs: list[ir.Value | None]) -> ir.Value:
    attributes = {"axis": -1, "epsilon": node.attributes.get_float("epsilon", 1e-12)}
    return tape.op("LayerNormalization", inputs, attributes=attributes, name=f"{node.name}/LayerNormalization")


def _first_rows(graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node) -> ir.Value:
    """Append the first rows of the table of places, as many as the texts have tokens."""
    zero = initializer(graph, f"{node.name}.first", np.array([0]))
    one = initializer(graph, f"{node.name}.second", np.array([1]))
    two = initializer(graph, f"{node.name}.third", np.array([2]))
    shape = tape.op("Shape", [node.inputs[0]], name=f"{node.name}/Shape")
    length = tape.op("Slice", [shape, one, two], name=f"{node.name}/length")
    return tape.op("Slice", [node.inputs[3], zero, length, zero], name=f"{node.name}/places")


def _lengths(graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node) -> ir.Value:
    """Append how many tokens of each text the mask has: [b, s] -> [b]."""
    one = initializer(graph, f"{node.name}.one", np.array(1, np.int32))
    axis = initializer(graph, f"{node.name}.axis", np.array([1]))
    text = tape.op("Equal", [given(node, 7), one], name=f"{node.name}/Equal")
    ones = tape.op("Cast", [text], attributes={"to": ir.DataType.INT32}, name=f"{node.name}/Cast")
    return tape.op("ReduceSum", [ones, axis], attributes={"keepdims": 0}, name=f"{node.name}/lengths")
