"""float16 and bfloat16 become float32: the CPU kernels are made for it, and int8 is made of it."""

import numpy as np
import onnx_ir as ir

_NARROW = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
_TYPE_ATTRIBUTES = ("to", "dtype")  # of Cast, and of what makes tensors


class Widen(ir.passes.InPlacePass):
    """Weights, constants, casts and activations of half precision in float32, in all graphs of the model.

    The numbers stay the same; what was rounded at run time no longer is. Inputs and outputs are left to be checked.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Widen what is narrow."""
        modified = False
        for graph in (*model.graphs(), *(function.graph for function in model.functions.values())):
            for value in graph.initializers.values():
                modified |= _widen_value(value)
        for node in model.graph.all_nodes():
            modified |= _widen_node(node)
        return ir.passes.PassResult(model, modified)


def _widen_node(node: ir.Node) -> bool:
    modified = False
    for name, attribute in tuple(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in _NARROW:
            node.attributes[name] = ir.AttrTensor(name, _wide(attribute.as_tensor()))
            modified = True
        elif name in _TYPE_ATTRIBUTES and attribute.type == ir.AttributeType.INT and attribute.as_int() in _NARROW:
            node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))
            modified = True
    for value in node.outputs:
        modified |= _widen_value(value)
    return modified


def _widen_value(value: ir.Value) -> bool:
    tensor = value.const_value
    narrow = value.dtype in _NARROW or (tensor is not None and tensor.dtype in _NARROW)
    if tensor is not None and tensor.dtype in _NARROW:
        value.const_value = _wide(tensor)
    if narrow:
        value.type = ir.TensorType(ir.DataType.FLOAT)  # a new one: clones of a graph share theirs
    return narrow


def _wide(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name)
