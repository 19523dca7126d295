"""onnxruntime's C API by ctypes: its function table, what each function takes, and its failures as exceptions.

Source: include/onnxruntime/core/session/onnxruntime_c_api.h of onnxruntime. A new version adds functions at the
table's end and moves none, and ``GetApi`` gives NULL for a version that the library does not know.
"""

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolkit.runtime.c_api import CApi
from toolkit.runtime.errors import EdgequantError

RELEASE = "1.30"
"""The onnxruntime that pyproject.toml pins; its C API has the number of its minor version."""
API_VERSION = 30

# Name: place in struct OrtApi, and the C types of the arguments (any pointer is void *). What is not named Release or
# Get…Message returns an OrtStatus *, NULL for success.
_POINTER = c_void_p
FUNCTIONS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "GetErrorMessage": (2, (_POINTER,)),  # status -> char *
    "CreateEnv": (3, (c_int, c_char_p, _POINTER)),  # log level, log id, env out
    "DisableTelemetryEvents": (6, (_POINTER,)),  # env
    "CreateSession": (7, (_POINTER, c_char_p, _POINTER, _POINTER)),  # env, path, options, session out
    "CreateSessionFromArray": (8, (_POINTER, c_char_p, c_size_t, _POINTER, _POINTER)),  # env, data, bytes, options, out
    # session, run options or NULL, input names, inputs, their number, output names, their number, outputs out
    "Run": (9, (_POINTER, _POINTER, _POINTER, _POINTER, c_size_t, _POINTER, c_size_t, _POINTER)),
    "CreateSessionOptions": (10, (_POINTER,)),  # options out
    "EnableCpuMemArena": (18, (_POINTER,)),  # options
    "DisableCpuMemArena": (19, (_POINTER,)),  # options
    "SetSessionLogSeverityLevel": (22, (_POINTER, c_int)),  # options, log level
    "SetSessionGraphOptimizationLevel": (23, (_POINTER, c_int)),  # options, GraphOptimizationLevel
    "SetIntraOpNumThreads": (24, (_POINTER, c_int)),  # options, threads
    "SetInterOpNumThreads": (25, (_POINTER, c_int)),  # options, threads
    "SessionGetInputCount": (30, (_POINTER, _POINTER)),  # session, size_t out
    "SessionGetOutputCount": (31, (_POINTER, _POINTER)),  # session, size_t out
    "SessionGetInputName": (36, (_POINTER, c_size_t, _POINTER, _POINTER)),  # session, number, allocator, char * out
    "SessionGetOutputName": (37, (_POINTER, c_size_t, _POINTER, _POINTER)),  # session, number, allocator, char * out
    # memory info, data, its bytes, shape, rank, element type, value out; the data stays the caller's
    "CreateTensorWithDataAsOrtValue": (49, (_POINTER, _POINTER, c_size_t, _POINTER, c_size_t, c_int, _POINTER)),
    "IsTensor": (50, (_POINTER, _POINTER)),  # value, int out
    "GetTensorMutableData": (51, (_POINTER, _POINTER)),  # value, void * out
    "GetTensorElementType": (60, (_POINTER, _POINTER)),  # type and shape, element type out
    "GetDimensionsCount": (61, (_POINTER, _POINTER)),  # type and shape, size_t out
    "GetDimensions": (62, (_POINTER, _POINTER, c_size_t)),  # type and shape, int64_t[] out, its length
    "GetTensorTypeAndShape": (65, (_POINTER, _POINTER)),  # value, type and shape out
    "CreateCpuMemoryInfo": (69, (c_int, c_int, _POINTER)),  # allocator type, memory type, memory info out
    "AllocatorFree": (76, (_POINTER, _POINTER)),  # allocator, memory
    "GetAllocatorWithDefaultOptions": (78, (_POINTER,)),  # allocator out, not to be released
    "ReleaseEnv": (92, (_POINTER,)),
    "ReleaseStatus": (93, (_POINTER,)),
    "ReleaseMemoryInfo": (94, (_POINTER,)),
    "ReleaseSession": (95, (_POINTER,)),
    "ReleaseValue": (96, (_POINTER,)),
    "ReleaseTensorTypeAndShapeInfo": (99, (_POINTER,)),
    "ReleaseSessionOptions": (100, (_POINTER,)),
    "AddSessionConfigEntry": (130, (_POINTER, c_char_p, c_char_p)),  # options, key, value
}


class _ApiBase(ctypes.Structure):
    """``struct OrtApiBase``."""

    _fields_ = (
        ("GetApi", ctypes.CFUNCTYPE(c_void_p, c_uint32)),
        ("GetVersionString", ctypes.CFUNCTYPE(c_char_p)),
    )


class OrtApi(CApi):
    """onnxruntime's C API."""

    def __init__(self, table: int) -> None:
        entries = ctypes.cast(table, POINTER(c_void_p))
        functions = {
            name: ctypes.CFUNCTYPE(_result(name), *arguments)(entries[place])
            for name, (place, arguments) in FUNCTIONS.items()
        }
        super().__init__(functions, "GetErrorMessage", "ReleaseStatus", "Release")

    def dimensions(self, info: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        rank = self.number("GetDimensionsCount", info)
        shape = (c_int64 * rank)()
        self.call("GetDimensions", info, shape, rank)
        return tuple(shape)


@lru_cache(maxsize=8)
def load_api(path: Path) -> OrtApi:
    """Load onnxruntime's shared library; EdgequantError if it is none, or not the release that is pinned."""
    try:
        library = ctypes.CDLL(os.fspath(path))
    except OSError as error:
        hint = "take the libonnxruntime.so of the onnxruntime wheel for this machine"
        raise EdgequantError("onnxruntime's library cannot be loaded", where=path, got=error, hint=hint) from None
    if not hasattr(library, "OrtGetApiBase"):
        raise EdgequantError("the library is not onnxruntime's", where=path, expected="a function OrtGetApiBase")
    library.OrtGetApiBase.restype = POINTER(_ApiBase)
    base = library.OrtGetApiBase().contents
    version = base.GetVersionString().decode()
    table = base.GetApi(API_VERSION)
    if not table or not version.startswith(f"{RELEASE}."):
        hint = f"pip install 'onnxruntime=={RELEASE}.*', or name its library"
        what = "the library is another release of onnxruntime"
        raise EdgequantError(what, where=path, got=version, expected=f"{RELEASE}, C API {API_VERSION}", hint=hint)
    return OrtApi(table)


def _result(name: str) -> Any:  # noqa: ANN401 - a C type, or None
    if name.startswith("Release"):
        return None
    return c_char_p if name == "GetErrorMessage" else c_void_p
