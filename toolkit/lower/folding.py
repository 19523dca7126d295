"""Computing what is constant, once."""

import numpy as np
import onnx_ir as ir
from onnxscript import optimizer

# Whatever the size: they rearrange weights, or give them another type, and the old ones go.
_OF_WEIGHTS = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_LARGEST = 2**31


class FoldConstants(ir.passes.InPlacePass):
    """Replace what is computed from constants, or from known shapes, by its value.

    onnxscript's ``optimize`` does that too, but also takes additions of less than 1e-8 for nothing: the epsilon
    1e-12 of BERT's layer normalizations is lost.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold all graphs of the model."""
        found = optimizer.fold_constants_ir(model, output_size_limit=_LARGEST, should_fold=_should_fold)
        return ir.passes.PassResult(model, bool(found.modified))


def _should_fold(node: ir.Node) -> bool | None:
    return True if not node.domain and node.op_type in _OF_WEIGHTS else None


class LayOut(ir.passes.InPlacePass):
    """Store weights that were transposed in the order of their axes: other passes take their bytes as they lie."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Lay out the initializers of the main graph."""
        modified = False
        for name, value in model.graph.initializers.items():
            array = None if value.const_value is None else value.const_value.numpy()
            if array is not None and not array.flags.c_contiguous:
                value.const_value = ir.tensor(np.ascontiguousarray(array), name=name)
                modified = True
        return ir.passes.PassResult(model, modified)
