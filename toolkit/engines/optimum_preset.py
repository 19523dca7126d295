"""optimum's dynamic preset for the target, as ``optimum-cli onnxruntime quantize`` takes it."""

from importlib.metadata import version
from pathlib import Path

from optimum.onnxruntime import AutoQuantizationConfig, ORTQuantizer

from toolkit.engines.order import Order

PRESETS = {"avx2": "avx2", "vnni": "avx512_vnni", "neon": "arm64", "dotprod": "arm64", "i8mm": "arm64"}


def build(order: Order) -> str:
    """Write the model and return who made it."""
    preset, model, out = PRESETS[order.isa], Path(order.model), Path(order.out)
    quantizer = ORTQuantizer.from_pretrained(model.parent, file_name=model.name)
    folder = out.with_suffix(".optimum")
    quantizer.quantize(getattr(AutoQuantizationConfig, preset)(is_static=False), folder, file_suffix="")
    next(folder.glob("*.onnx")).rename(out)
    return f"optimum-onnx {version('optimum-onnx')}, preset {preset}, onnxruntime {version('onnxruntime')}"
