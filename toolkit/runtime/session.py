"""onnxruntime's session: made from the manifest's settings, with its failures in words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from toolkit.runtime.errors import BundleError
from toolkit.runtime.manifest import ModelInfo, SessionInfo

# For a process that had loaded onnxruntime before ORT_DISABLE_TELEMETRY was set.
ort.disable_telemetry_events()

FloatArray = np.ndarray[Any, np.dtype[np.float32]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

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


class Session:
    """A loaded model: int64 arrays in, one float32 array out, ``[batch, dimension]`` or one such row a token."""

    def __init__(self, model: bytes | Path, info: ModelInfo, settings: SessionInfo, threads: int) -> None:
        self.where = str(model) if isinstance(model, Path) else f"{info.file} (in memory)"
        self.info = info
        with _in_words("onnxruntime cannot load the model", self.where):
            self._session = ort.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                sess_options=session_options(settings, threads),
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(settings.disabled_optimizers),
            )
        self._check("inputs are", {node.name for node in self._session.get_inputs()}, set(info.inputs))
        outputs = {node.name for node in self._session.get_outputs()}
        self._check("output is", outputs & {info.output} or outputs, {info.output})

    def run(self, feed: Mapping[str, IntArray], rank: int = 2) -> FloatArray:
        """Return the model's output, ``[batch, dimension]``, for a rank of 3 ``[batch, length, dimension]``.

        BundleError if it fails, or has another shape than the manifest says.
        """
        with _in_words("the model failed", self.where):
            output = self._session.run([self.info.output], dict(feed))[0]
        expected = (*feed["input_ids"].shape[: rank - 1], self.info.dimension)
        if output.shape != expected:
            what = f"output {self.info.output!r} has another shape than the manifest says"
            raise BundleError(what, where=self.where, got=output.shape, expected=expected)
        return np.asarray(output, dtype=np.float32)

    def _check(self, what: str, got: set[str], expected: set[str]) -> None:
        if got != expected:
            named = {"got": ", ".join(sorted(got)), "expected": ", ".join(sorted(expected))}
            raise BundleError(f"the model's {what} not the manifest's", where=self.where, **named)


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
def _in_words(what: str, where: str) -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        message = " ".join(str(error).split())
        if "allocate memory" in message or "bad_alloc" in message:
            raise MemoryError(f"{what}: {message}") from None
        raise BundleError(what, where=where, got=message[:500]) from error
