"""s8 weights: symmetric, one scale per column, and the bound under which no pair of products can saturate.

VPMADDUBSW multiplies u8 activations by s8 weights and adds neighbouring products, of rows (0, 1), (2, 3), …, in 16
bits with saturation (MLAS: QgemmU8S8KernelAvx2). With activations up to 255 a pair stays exact for every input when
the positive parts of its two weights sum to at most 128, and the negative parts too: 255 * 128 = 32640 < 32767.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Int8 = npt.NDArray[np.int8]
WeightRange = Literal["full", "pair", "reduced"]
PAIR_LIMIT = 128
PEAK = {"full": 127, "pair": 127, "reduced": 64}


@dataclass(frozen=True)
class Weights:
    """``real = s8 * scale``: s8 [K, N], scale [N]."""

    values: Int8
    scale: Float


def quantize_columns(weight: Float, weight_range: WeightRange) -> Weights:
    """Quantize a weight [K, N] symmetrically, one scale per column; an all-zero column gets scale 1.

    ``full`` uses ±127, ``reduced`` ±64, ``pair`` the largest range up to ±127 that keeps the pair bound: rounding
    adds at most ½ to each of two numbers that sum to at most 127.5, so their rounded sum is at most 128.
    """
    scale = np.abs(weight).max(0).astype(np.float64) / PEAK[weight_range]
    if weight_range == "pair":
        scale = np.maximum(scale, _pair_peaks(weight.astype(np.float64)) / (PAIR_LIMIT - 0.5))
    scale = np.where(scale < np.finfo(np.float32).tiny, 1.0, scale)
    # Rounded up to float32, so that the bound holds for the scale that is stored.
    stored = scale.astype(np.float32)
    stored = np.where(stored < scale, np.nextafter(stored, np.float32(np.inf)), stored)
    values = np.rint(weight.astype(np.float64) / stored).astype(np.int8)
    return Weights(values, stored)


def packed_columns(weight: npt.NDArray[Any], op_type: str, *, transposed: bool = False) -> npt.NDArray[Any]:
    """Return the weights of a Conv, MatMul or Gemm as [K, N], rows in the order that MLAS packs them.

    ``transposed`` is a Gemm's transB. A convolution [N, channels, *kernel] goes by the places of its kernel, at each by
    its channels (ORT: qlinearconv.cc, ReorderFilter): with an odd number of channels, pairs reach over two places.
    """
    if op_type == "Conv":
        weight = np.moveaxis(weight, 1, -1)
        return weight.reshape(len(weight), -1).T
    return weight.T if transposed else weight


def dequantize(weights: Weights) -> Float:
    """Return the real weights [K, N] that the s8 values stand for."""
    return weights.values.astype(np.float32) * weights.scale


def pair_bound_holds(values: Int8) -> bool:
    """Tell, for s8 weights [K, N], whether no u8 input whatever can saturate a pair."""
    return bool(_pair_peaks(values.astype(np.int32)).max(initial=0) <= PAIR_LIMIT)


def _pair_peaks(weight: npt.NDArray[np.float64] | npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """Return, per column, the largest sum of same-signed parts over the pairs of neighbouring rows."""
    if len(weight) % 2:
        weight = np.concatenate([weight, np.zeros_like(weight[:1])])
    positive, negative = np.maximum(weight, 0), np.maximum(-weight, 0)
    sums = np.maximum(positive[0::2] + positive[1::2], negative[0::2] + negative[1::2])
    return np.asarray(sums.max(0, initial=0), np.float64)
