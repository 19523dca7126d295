"""edgequant: float text models in, statically calibrated and accuracy-gated int8 bundles out."""

__version__ = "0.1.0"
