"""What flows through a float graph on calibration data, one feed at a time: memory does not grow with the feeds.

ONNX Runtime's own calibrators keep what every feed gave, or drop a part of it (CalibMaxIntermediateOutputs).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx

from toolkit.graphs.feeds import Feeds
from toolkit.graphs.preparing import FloatGraph
from toolkit.progress import Track, silent
from toolkit.runtime.cpu import available_threads
from toolkit.runtime.engine_python import PythonSession
from toolkit.runtime.manifest import SessionInfo
from toolkit.runtime.session import in_words
from toolkit.runtime.tensors import Feed

Range = tuple[float, float]
Counts = np.ndarray[Any, np.dtype[np.float64]]

BINS = 2048
_BROKEN = (-np.inf, np.inf)
SHRUNK = tuple(float(part) for part in np.linspace(1, 0.3, 29))
"""Parts of the observed range that are tried."""


def observe(
    graph: FloatGraph, names: Sequence[str], feeds: Feeds, threads: int | None = None, track: Track = silent
) -> dict[str, Range]:
    """Return each named tensor's range for u8: of those around 0 the one with the least mean squared error.

    Two passes: least and largest number, then a histogram between them. A tensor that was always empty, or held NaN or
    infinity (as masks do), is left out.
    """
    reader = _Reader(graph, names, threads)
    extremes = reader.extremes(track(feeds, "observe tensors", len(feeds)))
    counts = {name: np.zeros(BINS) for name in extremes}
    for name, value in reader.read(track(feeds, "count tensors' numbers", len(feeds))):
        if name in extremes and value.size:
            counts[name] += np.histogram(value.astype(np.float64), BINS, _wide(extremes[name]))[0]
    return {name: least_error(extremes[name], counts[name]) for name in extremes}


def least_error(extremes: Range, counts: Counts) -> Range:
    """Return the range with the least squared error when numbers, counted in bins between extremes, become u8."""
    low, high = _wide(extremes)
    edges = np.linspace(low, high, len(counts) + 1)
    values = (edges[1:] + edges[:-1]) / 2
    ranges = [(min(part * low, 0.0), max(part * high, 0.0)) for part in SHRUNK]
    errors = [float((counts * np.square(values - _rounded(values, one))).sum()) for one in ranges]
    return ranges[int(np.argmin(errors))]


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Add tensors to a model's outputs."""
    have = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in have)
    return model


class _Reader:
    """A session of the float graph that gives the named tensors too."""

    def __init__(self, graph: FloatGraph, names: Sequence[str], threads: int | None) -> None:
        self._where, self._names = graph.name, names
        model = with_outputs(graph.proto(), names).SerializeToString()
        with in_words("onnxruntime cannot load the model", graph.name):
            self._session = PythonSession(model, SessionInfo(), threads or available_threads())

    def read(self, feeds: Iterable[Feed]) -> Iterator[tuple[str, Counts]]:
        for feed in feeds:
            with in_words("the float model failed on calibration data", self._where):
                values = self._session.run_all(feed, self._names) if self._names else []
            yield from zip(self._names, values, strict=True)

    def extremes(self, feeds: Iterable[Feed]) -> dict[str, Range]:
        found: dict[str, Range] = {}
        for name, value in self.read(feeds):
            if value.size:
                low, high = float(value.min()), float(value.max())
                before = found.get(name, (low, high))
                found[name] = (min(low, before[0]), max(high, before[1])) if np.isfinite(low + high) else _BROKEN
        return {name: one for name, one in found.items() if np.isfinite(one).all()}


def _wide(extremes: Range) -> Range:
    """Return a range with 0 in it that is wide enough for bins."""
    low, high = min(extremes[0], 0.0), max(extremes[1], 0.0)
    return (low, high) if high - low > 1e-30 else (0.0, 1.0)


def _rounded(values: Counts, chosen: Range) -> Counts:
    scale = max(chosen[1] - chosen[0], float(np.finfo(np.float32).tiny)) / 255
    zero = np.rint(-chosen[0] / scale)
    return np.asarray((np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale)
