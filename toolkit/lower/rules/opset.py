"""LayerNormalization is of opset 17: a model below it is raised, where that changes nothing else."""

import onnx_ir as ir

_OF_LAYER_NORM, _IR_VERSION = 17, 8  # opset 17 asks for IR version 8
_CHANGED = frozenset({"BatchNormalization", "RoiAlign"})  # between 13 and 17: outputs and a default of theirs


class RaiseOpset(ir.passes.InPlacePass):
    """Declare opset 17 for a model from 13 on that has LayerNormalization since it was lowered.

    Source: onnx/docs/Changelog.md. ONNX Runtime takes the operator in older models too, ONNX's own checker does not.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Raise it, unless an operator means something else there."""
        kinds = {node.op_type for node in model.graph.all_nodes() if not node.domain}
        opset = model.opset_imports.get("", 0)
        if "LayerNormalization" not in kinds or kinds & _CHANGED or not 13 <= opset < _OF_LAYER_NORM:
            return ir.passes.PassResult(model, modified=False)
        model.opset_imports[""] = _OF_LAYER_NORM
        model.ir_version = max(model.ir_version, _IR_VERSION)
        return ir.passes.PassResult(model, modified=True)
