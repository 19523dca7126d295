"""The residual sum and its normalization in one kernel."""

import onnx_ir as ir

MICROSOFT = "com.microsoft"
_NORMALIZED = ("LayerNormalization", "SkipLayerNormalization")


def to_skip_normalization(model: ir.Model) -> None:
    """Rewrite ``LayerNormalization(layer + residual, scale, bias)`` to ``com.microsoft.SkipLayerNormalization``.

    Where an int8 layer is added to a residual that is normalized itself: the two are then known to be of one shape.
    """
    for node in model.graph:
        add = node.inputs[0].producer() if node.op_type == "LayerNormalization" and node.inputs[0] else None
        if add is None or not _is_residual(add) or node.attributes.get_int("axis", -1) != -1:
            continue
        epsilon = ir.AttrFloat32("epsilon", node.attributes.get_float("epsilon", 1e-5))
        inputs = [*add.inputs, *node.inputs[1:]]
        fused = ir.Node(MICROSOFT, "SkipLayerNormalization", inputs, [epsilon], name=node.name)
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node, add], [fused], node.outputs[:1], fused.outputs[:1]
        )


def _is_residual(add: ir.Node) -> bool:
    kinds = [producer.op_type for value in add.inputs if value is not None and (producer := value.producer())]
    alone = len(tuple(add.outputs[0].uses())) == 1 and not add.outputs[0].is_graph_output()
    return alone and add.op_type == "Add" and "MatMulIntegerToFloat" in kinds and any(k in _NORMALIZED for k in kinds)
