"""A model that takes arrays and gives arrays, strict about what it is given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.host import Host, as_host
from toolkit.runtime.manifest import SessionInfo
from toolkit.runtime.session import in_words
from toolkit.runtime.tensor_manifest import DYNAMIC, TensorInfo, TensorModelInfo

Array = np.ndarray[Any, np.dtype[Any]]
Feed = Mapping[str, Array]


class TensorModel:
    """Runs feeds of named arrays through an ONNX model; ``host`` says how, or with how many threads.

    BundleError if it cannot be loaded, UsageError for an engine without numpy.
    """

    def __init__(
        self, model: bytes | Path, info: TensorModelInfo, settings: SessionInfo, host: Host | int | None = None
    ) -> None:
        chosen = as_host(host)
        if chosen.chosen_engine() != "python":
            hint = "pip install numpy and onnxruntime, or do not ask for the engine capi"
            raise UsageError("a model of arrays runs on the engine python alone", got="capi", hint=hint)
        from toolkit.runtime.engine_python import PythonSession  # noqa: PLC0415 - imports onnxruntime

        self.where = str(model) if isinstance(model, Path) else f"{info.file} (in memory)"
        self.info = info
        with in_words("onnxruntime cannot load the model", self.where):
            self._session = PythonSession(model, settings, chosen.thread_count())
        for what, got, told in (
            ("inputs", self._session.inputs, info.inputs),
            ("outputs", self._session.outputs, info.outputs),
        ):
            expected = tuple(tensor.name for tensor in told)
            if set(got) != set(expected):
                named = {"got": ", ".join(got), "expected": ", ".join(expected)}
                raise BundleError(f"the model's {what} are not the manifest's", where=self.where, **named)

    def run(self, feed: Feed) -> dict[str, Array]:
        """Return all outputs by name.

        UsageError for an array that is missing, unknown, of another type or shape than the model takes; BundleError
        if the model fails or a float output is not finite.
        """
        found = self.raw(feed)
        for name, array in found.items():
            if not finite(array):
                raise BundleError("the model's output is NaN or infinite", where=f"{self.where}: {name}")
        return found

    def raw(self, feed: Feed) -> dict[str, Array]:
        """Return what ``run`` returns, finite or not."""
        check_feed(feed, self.info.inputs)
        names = [tensor.name for tensor in self.info.outputs]
        with in_words("the model failed", self.where):
            found = self._session.run_all({name: np.ascontiguousarray(array) for name, array in feed.items()}, names)
        for name, array in zip(names, found, strict=True):
            if not isinstance(array, np.ndarray):
                raise BundleError("an output is no array", where=f"{self.where}: {name}", got=type(array).__name__)
        return dict(zip(names, found, strict=True))


def finite(array: Array) -> bool:
    """Tell whether an array holds neither NaN nor infinity."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def check_feed(feed: Feed, inputs: tuple[TensorInfo, ...], where: object = "") -> None:
    """Raise UsageError unless a feed has just what the inputs ask for."""
    expected = ", ".join(map(str, inputs)) or "no inputs"
    missing = [tensor.name for tensor in inputs if tensor.name not in feed]
    unknown = sorted(set(feed) - {tensor.name for tensor in inputs})
    if missing or unknown:
        what = f"the model has no input {unknown[0]!r}" if unknown else f"there is no array for input {missing[0]!r}"
        raise UsageError(what, where=where, got=", ".join(feed) or "nothing", expected=expected)
    for tensor in inputs:
        problem = misfit(feed[tensor.name], tensor)
        if problem:
            raise UsageError(f"the array for input {tensor.name!r} does not fit", where=where, got=problem,
                             expected=tensor)  # fmt: skip


def misfit(array: object, tensor: TensorInfo) -> str:
    """Return what an array is, where it is not what an input takes; else nothing."""
    if not isinstance(array, np.ndarray):
        return type(array).__name__
    same = len(array.shape) == len(tensor.axes) and all(
        expected in (DYNAMIC, got) for got, expected in zip(array.shape, tensor.axes, strict=True)
    )
    fits = same and array.dtype == np.dtype(tensor.kind)
    return "" if fits else f"{array.dtype} [{', '.join(map(str, array.shape))}]"


def sqnr_db(reference: Array, measured: Array) -> float:
    """Return 10·log10 of the signal's energy over the error's; infinity where nothing differs, 0 signal or not."""
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(np.subtract(reference, measured, dtype=np.float64)).sum())
    return float("inf") if noise == 0 else float(10 * np.log10(signal / noise)) if signal else float("-inf")
