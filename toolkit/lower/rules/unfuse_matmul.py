"""FusedMatMul by a constant weight, taken apart into what is a linear layer."""

import numpy as np
import onnx_ir as ir

from toolkit.lower.constants import constant, initializer
from toolkit.lower.rules.unfuse import Unfusing


class FusedMatMul(Unfusing):
    """``alpha · x · w'`` of a constant weight → ``MatMul(x, alpha · w')``. Of two activations it is fine as it is."""

    op_type = "FusedMatMul"

    def refusal(self, node: ir.Node) -> str:
        """Refuse what is no linear layer."""
        weight = constant(node.inputs[1])
        if weight is None:
            return "both factors are activations"
        if any(node.attributes.get_int(name, 0) for name in ("transA", "transBatchA", "transBatchB")):
            return "its activation is transposed"
        return "" if weight.ndim == 2 else f"its weight has {weight.ndim} axes"

    def rewrite(self, graph: ir.Graph, tape: ir.tape.Tape, node: ir.Node) -> dict[int, ir.Value]:
        """Write the MatMul."""
        weight = constant(node.inputs[1])
        if weight is None:
            raise AssertionError("refused before")
        matrix = weight.astype(np.float32).T if node.attributes.get_int("transB", 0) else weight.astype(np.float32)
        matrix = matrix * np.float32(node.attributes.get_float("alpha", 1.0))
        folded = initializer(graph, f"{node.name}.weight", matrix)
        return {0: tape.op("MatMul", [node.inputs[0], folded], name=node.name)}
