"""ONNX Runtime's static quantizer, set as the target's kernels want it.

u8 activations, s8 weights with one scale a column, of ±64 where pairs of products saturate; outputs stay float, which
costs no time and keeps the accuracy that the quantizer's defaults lose. Products of two activations stay float too.
"""

import onnx
import onnxruntime
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from toolkit.engines.order import Order, Reader

OPERATORS = ["MatMul", "Gemm", "Gather"]


def build(order: Order) -> str:
    """Write the model and return who made it."""
    graph = onnx.load(order.model).graph
    constants = {tensor.name for tensor in graph.initializer}
    # Not by MatMulConstBOnly, which the quantizer does not heed for QDQ.
    of_activations = [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] not in constants]
    quantize_static(
        order.model,
        order.out,
        Reader(order.feeds),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=OPERATORS,
        nodes_to_exclude=of_activations,
        per_channel=True,
        reduce_range=order.pair_saturation,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"OpTypesToExcludeOutputQuantization": OPERATORS},
    )
    return f"onnxruntime {onnxruntime.__version__}"
