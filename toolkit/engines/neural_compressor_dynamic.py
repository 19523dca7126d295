"""neural-compressor's dynamic quantizer with its defaults."""

from toolkit.engines import neural_compressor_static
from toolkit.engines.order import Order


def build(order: Order) -> str:
    """Write the model and return who made it."""
    return neural_compressor_static.build(order, "dynamic")
