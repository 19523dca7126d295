"""ONNX Runtime's dynamic quantizer, one scale a column of weights. It needs no calibration."""

import onnxruntime
from onnxruntime.quantization import quantize_dynamic

from toolkit.engines.order import Order


def build(order: Order) -> str:
    """Write the model and return who made it."""
    quantize_dynamic(order.model, order.out, per_channel=True)
    return f"onnxruntime {onnxruntime.__version__}"
