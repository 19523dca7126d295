"""neural-compressor's static quantizer, QDQ, with its defaults."""

from collections.abc import Iterator
from typing import Any

import neural_compressor
import numpy.typing as npt
from neural_compressor import PostTrainingQuantConfig, quantization

from toolkit.engines.order import Order, read_feeds


class Loader:
    """Calibration inputs as neural-compressor reads them, as often as it likes."""

    batch_size = 1

    def __init__(self, feeds: str) -> None:
        self._feeds = feeds

    def __iter__(self) -> Iterator[tuple[dict[str, npt.NDArray[Any]], int]]:
        return ((feed, 0) for feed in read_feeds(self._feeds))


def build(order: Order, approach: str = "static") -> str:
    """Write the model and return who made it; RuntimeError where neural-compressor made none."""
    loader = Loader(order.feeds)
    settings = PostTrainingQuantConfig(
        approach=approach, quant_format="QDQ", calibration_sampling_size=[sum(1 for _ in loader)]
    )
    made = quantization.fit(order.model, settings, calib_dataloader=loader if approach == "static" else None)
    if made is None:
        raise RuntimeError("neural-compressor returned no model")
    made.save(order.out)
    return f"neural-compressor {neural_compressor.__version__}"
