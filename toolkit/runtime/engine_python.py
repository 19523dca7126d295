"""The engine ``python``: onnxruntime's package, numpy arrays in and out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from toolkit.runtime.arrays import FloatArray, IntArray
from toolkit.runtime.errors import EngineError
from toolkit.runtime.manifest import SessionInfo

# For a process that had loaded onnxruntime before ORT_DISABLE_TELEMETRY was set.
ort.disable_telemetry_events()

_LEVELS = {
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
_ERRORS = (
    state.EPFail,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoModel,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
)
_FATAL = 4  # what onnxruntime would print comes back as an exception, and is told once


class PythonSession:
    """A model in onnxruntime's InferenceSession."""

    def __init__(self, model: bytes | Path, settings: SessionInfo, threads: int) -> None:
        with _told():
            self._session = ort.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                sess_options=session_options(settings, threads),
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(settings.disabled_optimizers),
            )
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())

    def run(self, feed: Mapping[str, IntArray], output: str) -> FloatArray:
        """Return one output; EngineError if the model fails or gives something else than float32."""
        (found,) = self.run_all(feed, [output])
        if not isinstance(found, np.ndarray) or found.dtype != np.float32:
            kind = getattr(found, "dtype", type(found).__name__)
            raise EngineError(f"output {output!r} is {kind}, not float32")
        return found

    def run_all(self, feed: Mapping[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Return the outputs that are named; EngineError if the model fails."""
        with _told():
            found: list[Any] = self._session.run(list(outputs), dict(feed))
        return found


def session_options(settings: SessionInfo, threads: int) -> ort.SessionOptions:
    """Return options for ``threads`` threads inside an operator, one operator at a time, nothing printed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    options.graph_optimization_level = _LEVELS[settings.graph_optimization]
    options.enable_cpu_mem_arena = settings.memory_arena
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if settings.allow_spinning else "0")
    return options


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise EngineError(str(error)) from error
