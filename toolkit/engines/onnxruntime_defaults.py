"""ONNX Runtime's static quantizer with its own defaults: QDQ, one scale a tensor, outputs quantized."""

import onnxruntime
from onnxruntime.quantization import quantize_static

from toolkit.engines.order import Order, Reader


def build(order: Order) -> str:
    """Write the model and return who made it."""
    quantize_static(order.model, order.out, Reader(order.feeds))
    return f"onnxruntime {onnxruntime.__version__}"
