"""GELU with the bias of the layer before it, or by its approximation."""

from collections.abc import Iterator

import onnx_ir as ir

MICROSOFT = "com.microsoft"
_BIAS = 6


def to_bias_gelu(model: ir.Model) -> None:
    """Rewrite ``Gelu(layer + bias)``, the bias being inside an int8 layer, to ``com.microsoft.BiasGelu``."""
    for gelu in _exact(model):
        layer = gelu.inputs[0].producer() if gelu.inputs[0] is not None else None
        if layer is None or layer.op_type != "MatMulIntegerToFloat" or len(tuple(layer.outputs[0].uses())) > 1:
            continue
        _replace(model, gelu, "BiasGelu", [layer.outputs[0], layer.inputs[_BIAS]])
        layer.replace_input_with(_BIAS, None)


def to_fast_gelu(model: ir.Model) -> None:
    """Rewrite ``Gelu`` to ``com.microsoft.FastGelu``.

    That is ``x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³)))`` (arXiv 1606.08415), off by 5e-4 at most.
    """
    for gelu in _exact(model):
        _replace(model, gelu, "FastGelu", [gelu.inputs[0]])


def _exact(model: ir.Model) -> Iterator[ir.Node]:
    for node in tuple(model.graph):
        if node.op_type == "Gelu" and node.attributes.get_string("approximate", "none") == "none":
            yield node


def _replace(model: ir.Model, gelu: ir.Node, kind: str, inputs: list[ir.Value | None]) -> None:
    new = ir.Node(MICROSOFT, kind, inputs, name=gelu.name)
    name = gelu.outputs[0].name
    ir.convenience.replace_nodes_and_values(model.graph, gelu, [gelu], [new], gelu.outputs, new.outputs)
    new.outputs[0].name = name
