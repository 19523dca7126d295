"""How much faster int8 is than fp32 on this CPU, for one sample: CPU time of one thread, interleaved."""

import statistics
import time
from dataclasses import dataclass

from toolkit.graphs.feeds import Feeds
from toolkit.runtime.manifest import SessionInfo
from toolkit.runtime.tensor_manifest import TensorModelInfo
from toolkit.runtime.tensors import Feed, TensorModel

ROUNDS = 7
ROUND_SECONDS = 0.04


@dataclass(frozen=True)
class SampleSpeed:
    """CPU milliseconds of one sample, and the median ratio fp32 / int8."""

    fp32_ms: float
    int8_ms: float
    ratio: float


def compare(models: tuple[bytes, bytes], info: TensorModelInfo, session: SessionInfo, feeds: Feeds) -> SampleSpeed:
    """Time (fp32, int8) on the first sample; the numbers hold for this CPU and nothing else."""
    fp32, int8 = (TensorModel(model, info, session, 1) for model in models)
    feed = next(iter(feeds))
    repeats = max(1, int(ROUND_SECONDS / max(_seconds(fp32, feed, 1), 1e-4)))
    timed = [(_seconds(fp32, feed, repeats), _seconds(int8, feed, repeats)) for _ in range(ROUNDS)]
    medians = [1000 * statistics.median(column) for column in zip(*timed, strict=True)]
    return SampleSpeed(medians[0], medians[1], statistics.median(a / b for a, b in timed))


def _seconds(model: TensorModel, feed: Feed, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        model.raw(feed)
    return (time.process_time() - start) / repeats
