"""Weights in blocks: codes of 4 or 8 bits, with a scale and a zero point for each run of rows of a column.

Plain rounding takes each code for itself. With the curvature of the layer's error, ``x.T @ x`` over the inputs that
were seen, each row's rounding error is made up for in the rows below it: GPTQ (Frantar et al., ICLR 2023), whose order
of rows is the weight's own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.targets import Bits

Float = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
DAMPING = 0.01
"""Of the mean curvature, added to all of it: what was hardly seen is not trusted (GPTQ's own)."""

SHRINKS = np.linspace(1.0, 0.6, 21)
"""Parts of a block's range that are tried for 4 bits, where a coarse code for all may cost more than a clipped peak."""


@dataclass(frozen=True)
class Blocks:
    """``real = (code - zero) * scale``; the last block of a column may be shorter."""

    bits: Bits
    size: int  # rows of a block
    codes: npt.NDArray[np.uint8]  # [K, N], 0 to 2**bits - 1
    scales: Float  # [blocks, N]
    zeros: npt.NDArray[np.uint8]  # [blocks, N]

    def real(self) -> Float:
        """Return the weights [K, N] that the codes stand for."""
        rows = len(self.codes)
        zeros, scales = np.repeat(self.zeros, self.size, axis=0), np.repeat(self.scales, self.size, axis=0)
        return np.asarray((self.codes.astype(np.float32) - zeros[:rows]) * scales[:rows], np.float32)


def quantize_blocks(weight: Float, bits: Bits, size: int, curvature: Doubles | None = None) -> Blocks:
    """Quantize a finite weight [K, N]; ``curvature`` [K, K] is that of GPTQ, None rounds plainly.

    Codes of 8 bits are symmetric around 128, codes of 4 bits have a zero point a block.
    """
    rows, columns = weight.shape
    blocks = -(-rows // size)
    moves = None if curvature is None else spread(curvature)
    left = weight.astype(np.float64)
    codes = np.zeros((rows, columns), np.uint8)
    scales, zeros = np.zeros((blocks, columns), np.float32), np.zeros((blocks, columns), np.uint8)
    for block in range(blocks):
        start, stop = block * size, min((block + 1) * size, rows)
        scale, zero = _fit(left[start:stop], bits)
        scales[block], zeros[block] = scale, zero
        if moves is None:
            codes[start:stop] = _codes(left[start:stop], scale, zero, bits)
        else:
            codes[start:stop], errors = _rounded(left[start:stop], moves[start:stop, start:stop], (scale, zero), bits)
            left[stop:] -= moves[start:stop, stop:].T @ errors
    return Blocks(bits, size, codes, scales, zeros)


def spread(curvature: Doubles, damping: float = DAMPING) -> Doubles:
    """Return the upper Cholesky factor of the inverse, damped: row k holds how an error of k moves to later rows.

    ``damping`` is a part of the mean curvature.
    """
    damped = curvature.astype(np.float64)
    diagonal = np.arange(len(damped))
    mean = float(damped[diagonal, diagonal].mean()) or 1.0
    damped[diagonal, diagonal] += damping * mean
    return np.asarray(np.linalg.cholesky(np.linalg.inv(damped)).T)


def _rounded(
    block: Doubles, spread: Doubles, grid: tuple[Any, Any], bits: Bits
) -> tuple[npt.NDArray[np.uint8], Doubles]:
    """Return a block's codes and its rows' errors over their curvature; ``block`` is altered."""
    scale, zero = grid
    codes, errors = np.zeros(block.shape, np.uint8), np.zeros(block.shape)
    for row in range(len(block)):
        codes[row] = _codes(block[row], scale, zero, bits)
        errors[row] = (block[row] - (codes[row].astype(np.float64) - zero) * scale) / spread[row, row]
        block[row + 1 :] -= np.outer(spread[row, row + 1 :], errors[row])
    return codes, errors


def _codes(real: Doubles, scale: Any, zero: Any, bits: Bits) -> npt.NDArray[np.uint8]:  # noqa: ANN401 - rows or numbers
    return np.asarray(np.clip(np.rint(real / scale) + zero, 0, 2**bits - 1), np.uint8)


def _fit(block: Doubles, bits: Bits) -> tuple[Doubles, Doubles]:
    """Return the scale, as float32 holds it, and the zero point of each column of a block [rows, N]."""
    if bits == 8:
        return _scale(np.abs(block).max(0) / 127), np.full(block.shape[1], 128.0)
    low, high = np.minimum(block.min(0), 0), np.maximum(block.max(0), 0)
    tried = [_affine(low * shrink, high * shrink) for shrink in SHRINKS]
    errors = [(((_codes(block, scale, zero, bits) - zero) * scale - block) ** 2).sum(0) for scale, zero in tried]
    best, columns = np.argmin(errors, axis=0), np.arange(block.shape[1])
    scales, zeros = (np.stack(each)[best, columns] for each in zip(*tried, strict=True))
    return scales, zeros


def _affine(low: Doubles, high: Doubles) -> tuple[Doubles, Doubles]:
    """Return scale and zero point of 4 bits for ranges that hold 0."""
    scale = _scale((high - low) / 15)
    return scale, np.clip(np.rint(-low / scale), 0, 15)


def _scale(found: Doubles) -> Doubles:
    """Return usable scales: an all-zero block gets 1."""
    stored = found.astype(np.float32).astype(np.float64)
    return np.where(stored < np.finfo(np.float32).tiny, 1.0, stored)
