"""Signal to quantization noise ratio."""

import numpy as np
import numpy.typing as npt

CEILING_DB = 200.0


def sqnr_db(reference: npt.NDArray[np.float32], measured: npt.NDArray[np.float32]) -> float:
    """Return 10·log10(‖reference‖² / ‖reference - measured‖²) in dB, within ±CEILING_DB; NaN unless all is finite."""
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(np.subtract(reference, measured, dtype=np.float64)).sum())
    if not np.isfinite(signal + noise):
        return float("nan")
    if noise == 0:
        return CEILING_DB
    if signal == 0:
        return -CEILING_DB
    return float(np.clip(10 * np.log10(signal / noise), -CEILING_DB, CEILING_DB))
