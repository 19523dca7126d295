"""u8 activations: one scale and zero point per tensor, as QuantizeLinear computes them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
SMALLEST_SCALE = np.float32(1e-30)  # its reciprocal is still finite in float32


@dataclass(frozen=True)
class Affine:
    """``real = (u8 - zero_point) * scale``."""

    scale: np.float32
    zero_point: np.uint8


def affine_u8(low: float, high: float) -> Affine:
    """Return the u8 quantizer of a range, widened to hold zero exactly; an empty range gets scale 1."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255)
    if scale < SMALLEST_SCALE:
        return Affine(np.float32(1), np.uint8(0))
    return Affine(scale, np.uint8(np.clip(np.rint(-low / float(scale)), 0, 255)))


def quantize_u8(values: Float, affine: Affine) -> npt.NDArray[np.uint8]:
    """Quantize as ONNX QuantizeLinear does: round half to even, then saturate."""
    shifted = np.rint(values / affine.scale) + np.float32(affine.zero_point)
    return np.asarray(np.clip(shifted, 0, 255), np.uint8)


def dequantize_u8(values: npt.NDArray[np.uint8], affine: Affine) -> Float:
    """Return the real numbers that the u8 values stand for."""
    centred = values.astype(np.float32) - np.float32(affine.zero_point)
    return np.asarray(centred * affine.scale, np.float32)
