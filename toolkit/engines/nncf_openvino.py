"""NNCF's static quantizer for transformers, SmoothQuant and bias correction included, on OpenVINO's graph."""

from pathlib import Path

import nncf
import openvino as ov

from toolkit.engines.order import Order, read_feeds


def build(order: Order) -> str:
    """Write the model (``.xml`` and ``.bin``) and return who made it."""
    feeds = list(read_feeds(order.feeds))
    made = nncf.quantize(
        ov.Core().read_model(order.model),
        nncf.Dataset(feeds),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(feeds),
    )
    ov.save_model(made, Path(order.out))
    return f"nncf {nncf.__version__}, openvino {ov.__version__.partition('-')[0]}"
