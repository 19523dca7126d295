"""SmoothQuant: move the spread of outlier channels from the activation into the weight (arXiv 2211.10438, eq. 4)."""

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
ALPHAS = (0.5, 0.6, 0.7, 0.8)
"""Above 0.8 the smoothed range hugs what calibration saw of each channel, and unseen text is clipped."""
FLOOR = 1e-5


def smoothing_factors(activation_peak: Float, weight_peak: Float, alpha: float) -> Float:
    """Return s [K] = a^alpha / w^(1-alpha) with geometric mean 1: activations are divided by s, weight rows multiplied.

    A channel that is zero in either peak counts as FLOOR; no factor is under 0.05, so that quiet channels are not
    blown up beyond what calibration saw of them.
    """
    a, w = (
        np.maximum(activation_peak, FLOOR).astype(np.float64),
        np.maximum(weight_peak, FLOOR).astype(np.float64),
    )
    factors = a**alpha / w ** (1 - alpha)
    factors = factors / np.exp(np.log(factors).mean())
    return np.asarray(np.maximum(factors, 0.05), np.float32)
