"""A bundle's model in two forms that show, and hold, the int8 numbers between its layers.

Float kernels differ in the last bit from CPU to CPU. Now and then that moves a rounding in QuantizeLinear by one step,
which moves others after it: the same right kernels then give sentences that differ by as much as int8 noise. Where
each layer is given the reference's own int8 inputs, that cannot grow, and what a kernel does wrong shows at its layer.
"""

from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from toolkit.errors import BundleError

OWN = "/own"  # behind the name of an int8 number: what this CPU makes of it itself


@dataclass(frozen=True)
class Pinned:
    """``free`` gives the int8 activations ``names`` too; ``held`` takes them as inputs and gives NAME/own beside."""

    free: bytes
    held: bytes
    names: tuple[str, ...]


def pin(model: bytes, where: str) -> Pinned:
    """Return both forms of an ONNX model; BundleError if it quantizes no activation."""
    free, held = onnx.ModelProto.FromString(model), onnx.ModelProto.FromString(model)
    names = tuple(node.output[0] for node in free.graph.node if node.op_type == "QuantizeLinear")
    if not names:
        raise BundleError("the model has no int8 activations to look at", where=where, expected="QuantizeLinear")
    for name in names:
        free.graph.output.append(_u8(name))
        held.graph.input.append(_u8(name))
        held.graph.output.append(_u8(name + OWN))
    for node in held.graph.node:
        if node.op_type == "QuantizeLinear":
            node.output[0] += OWN
    return Pinned(free.SerializeToString(), held.SerializeToString(), names)


def _u8(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.UINT8, None)
