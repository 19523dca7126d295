"""Every error that edgequant raises on purpose: one tree, each with its exit code.

The root and what the runtime raises live in ``toolkit.runtime.errors``, because the runtime stands alone.
"""

from toolkit.runtime.errors import BundleError, EdgequantError, TextError, UsageError

__all__ = [
    "BundleError",
    "DataError",
    "EdgequantError",
    "EmptySetError",
    "GateError",
    "ImageError",
    "MissingExtraError",
    "ModelError",
    "NumericsError",
    "RecipeError",
    "TextError",
    "TokenizerError",
    "UsageError",
]


class RecipeError(EdgequantError):
    """A target recipe or a data set description has an unknown key, a wrong type or an impossible value."""

    exit_code = 2


class MissingExtraError(EdgequantError):
    """A command needs packages of an extra that is not installed."""

    exit_code = 2


class DataError(EdgequantError):
    """A calibration or evaluation set cannot be read, is empty, or the two overlap."""


class EmptySetError(DataError):
    """A set has no row: nothing can be calibrated or judged on it."""

    exit_code = 2


class ModelError(EdgequantError):
    """A float model cannot be read, is of no known architecture, or does not fit its tokenizer."""


class TokenizerError(ModelError):
    """A tokenizer is not the one of its model."""

    exit_code = 2


class NumericsError(EdgequantError):
    """NaN or infinity in a weight or an activation."""


class ImageError(EdgequantError):
    """An image is incomplete or altered, or its parts do not fit together."""


class GateError(EdgequantError):
    """The int8 model is not accurate enough for the recipe's limits."""

    exit_code = 3
