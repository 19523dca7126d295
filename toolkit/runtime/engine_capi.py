"""The engine ``capi``: onnxruntime's shared library through ctypes, without its Python package and without numpy."""

import ctypes
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ctypes import c_char_p, c_int64, c_void_p
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, cast

from toolkit.runtime.arrays import FLOAT_BYTES, FloatArray, IntArray, floats
from toolkit.runtime.c_api import copied
from toolkit.runtime.errors import EngineError
from toolkit.runtime.manifest import SessionInfo
from toolkit.runtime.ort_api import OrtApi, load_api

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Numbers of onnxruntime_c_api.h.
_LEVELS = {"disabled": 0, "basic": 1, "extended": 2, "all": 99}  # GraphOptimizationLevel
_FATAL = 4  # OrtLoggingLevel: what onnxruntime would print comes back as a status, and is told once
_DEVICE_ALLOCATOR, _DEFAULT_MEMORY = 0, 0  # OrtAllocatorType, OrtMemType
_FLOAT, _INT64 = 1, 7  # ONNXTensorElementDataType
_INT_BYTES = 8
# onnxruntime_session_options_config_keys.h
_SPINNING = b"session.intra_op.allow_spinning"
_DISABLED_OPTIMIZERS = b"optimization.disable_specified_optimizers"


class CapiSession:
    """A model in an OrtSession; ``run`` may be called by several threads at once. Garbage collection releases all."""

    def __init__(self, model: bytes | Path, settings: SessionInfo, threads: int, library: Path) -> None:
        api = self._api = load_api(library)
        with ExitStack() as stack:
            env = api.kept(stack, "Env", api.pointer("CreateEnv", _FATAL, b"edgequant"))
            api.call("DisableTelemetryEvents", env)
            memory = api.pointer("CreateCpuMemoryInfo", _DEVICE_ALLOCATOR, _DEFAULT_MEMORY)
            self._memory = api.kept(stack, "MemoryInfo", memory)
            with _options(api, settings, threads) as options:
                self._session = api.kept(stack, "Session", _create(api, env, model, options))
            self.inputs = _names(api, self._session, "Input")
            self.outputs = _names(api, self._session, "Output")
            # At the interpreter's exit a thread may still be in Run, and the kernel frees all anyway.
            weakref.finalize(self, stack.pop_all().close).atexit = False

    def run(self, feed: Mapping[str, IntArray], output: str) -> FloatArray:
        """Return one output; EngineError if the model fails or gives something else than a tensor of float32."""
        names = (c_char_p * len(feed))(*(name.encode() for name in feed))
        wanted, found = (c_char_p * 1)(output.encode()), (c_void_p * 1)()
        buffers = [_int64(array) for array in feed.values()]  # alive until the run is over
        with ExitStack() as stack:
            tensors = (self._api.kept(stack, "Value", self._tensor(buffer)) for buffer in buffers)
            values = (c_void_p * len(feed))(*tensors)
            self._api.call("Run", self._session, None, names, values, len(feed), wanted, 1, found)
            return _numbers(self._api, self._api.kept(stack, "Value", found[0] or 0), output)

    def _tensor(self, buffer: memoryview) -> int:
        """Return an input that lies in the buffer's own memory."""
        shape = buffer.shape or ()
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if buffer.nbytes else None
        creation = (self._memory, address, buffer.nbytes, (c_int64 * len(shape))(*shape), len(shape), _INT64)
        return self._api.pointer("CreateTensorWithDataAsOrtValue", *creation)


def _int64(array: IntArray) -> memoryview:
    """Return the array's own memory, or a copy where that cannot be lent to ctypes."""
    view = memoryview(cast("Buffer", array))
    if view.itemsize != _INT_BYTES or view.format not in ("q", "l"):
        raise EngineError(f"an input is of type {view.format!r}, not int64")
    if view.readonly or not view.c_contiguous:
        return memoryview(bytearray(view.tobytes())).cast("q", view.shape or ())
    return view


@contextmanager
def _options(api: OrtApi, settings: SessionInfo, threads: int) -> Iterator[int]:
    """Give options for ``threads`` threads inside an operator, one operator at a time, nothing printed."""
    options = api.pointer("CreateSessionOptions")
    try:
        api.call("SetIntraOpNumThreads", options, threads)
        api.call("SetInterOpNumThreads", options, 1)
        api.call("SetSessionLogSeverityLevel", options, _FATAL)
        api.call("SetSessionGraphOptimizationLevel", options, _LEVELS[settings.graph_optimization])
        api.call("EnableCpuMemArena" if settings.memory_arena else "DisableCpuMemArena", options)
        api.call("AddSessionConfigEntry", options, _SPINNING, b"1" if settings.allow_spinning else b"0")
        if settings.disabled_optimizers:
            names = ";".join(settings.disabled_optimizers).encode()
            api.call("AddSessionConfigEntry", options, _DISABLED_OPTIMIZERS, names)
        yield options
    finally:
        api.release("SessionOptions", options)


def _create(api: OrtApi, env: int, model: bytes | Path, options: int) -> int:
    if isinstance(model, Path):
        return api.pointer("CreateSession", env, os.fsencode(model), options)
    return api.pointer("CreateSessionFromArray", env, model, len(model), options)


def _names(api: OrtApi, session: int, kind: str) -> tuple[str, ...]:
    allocator = api.pointer("GetAllocatorWithDefaultOptions")
    names = []
    for number in range(api.number(f"SessionGet{kind}Count", session)):
        text = api.pointer(f"SessionGet{kind}Name", session, number, allocator)
        names.append(ctypes.string_at(text).decode())
        api.call("AllocatorFree", allocator, text)
    return tuple(names)


def _numbers(api: OrtApi, value: int, name: str) -> FloatArray:
    """Return a copy of a tensor's numbers."""
    if not api.number("IsTensor", value):
        raise EngineError(f"output {name!r} is no tensor")
    info = api.pointer("GetTensorTypeAndShape", value)
    try:
        kind, shape = api.number("GetTensorElementType", info), api.dimensions(info)
    finally:
        api.release("TensorTypeAndShapeInfo", info)
    if kind != _FLOAT:
        raise EngineError(f"output {name!r} is of ONNX element type {kind}, not float32")
    return floats(copied(api.pointer("GetTensorMutableData", value), prod(shape) * FLOAT_BYTES), shape)
