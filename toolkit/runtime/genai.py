"""onnxruntime-genai (the extra ``llm``) by its C API: its Python package holds Python's lock while a token is computed.

A server would answer nobody for as long. Source: src/ort_genai_c.h of onnxruntime-genai.
"""

import ctypes
import json
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ctypes import byref, c_bool, c_char_p, c_double, c_int32, c_int64, c_size_t, c_void_p
from functools import lru_cache
from math import prod
from pathlib import Path
from threading import RLock
from typing import Any

from toolkit.runtime.arrays import FLOAT_BYTES, FloatArray, floats
from toolkit.runtime.c_api import CApi, copied
from toolkit.runtime.errors import EngineError, UsageError

# Name without Oga: the C types of the arguments (any pointer is void *).
_POINTER = c_void_p
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "ResultGetError": (_POINTER,),  # result -> char *
    "CreateConfig": (c_char_p, _POINTER),  # folder, config out
    "ConfigOverlay": (_POINTER, c_char_p),  # config, JSON
    "CreateModelFromConfig": (_POINTER, _POINTER),  # config, model out
    "CreateTokenizer": (_POINTER, _POINTER),  # model, tokenizer out
    # tokenizer, template or NULL for its own, messages as JSON, tools or NULL, the answer's opening, char * out
    "TokenizerApplyChatTemplate": (_POINTER, c_char_p, c_char_p, c_char_p, c_bool, _POINTER),
    "CreateGeneratorParams": (_POINTER, _POINTER),  # model, params out
    "GeneratorParamsSetSearchBool": (_POINTER, c_char_p, c_bool),  # params, name, value
    "GeneratorParamsSetSearchNumber": (_POINTER, c_char_p, c_double),  # params, name, value
    "CreateGenerator": (_POINTER, _POINTER, _POINTER),  # model, params, generator out
    "Generator_AppendTokens": (_POINTER, _POINTER, c_size_t),  # generator, int32_t[], its length
    "Generator_GenerateNextToken": (_POINTER,),  # generator
    "Generator_GetNextTokens": (_POINTER, _POINTER, _POINTER),  # generator, int32_t * out, its length out
    "Generator_GetOutput": (_POINTER, c_char_p, _POINTER),  # generator, name, tensor out
    "TensorGetType": (_POINTER, _POINTER),  # tensor, element type out
    "TensorGetShapeRank": (_POINTER, _POINTER),  # tensor, size_t out
    "TensorGetShape": (_POINTER, _POINTER, c_size_t),  # tensor, int64_t[] out, its length
    "TensorGetData": (_POINTER, _POINTER),  # tensor, void * out
    "DestroyResult": (_POINTER,),
    "DestroyString": (_POINTER,),
    "DestroyConfig": (_POINTER,),
    "DestroyModel": (_POINTER,),
    "DestroyTokenizer": (_POINTER,),
    "DestroyGeneratorParams": (_POINTER,),
    "DestroyGenerator": (_POINTER,),
    "DestroyTensor": (_POINTER,),
}
_FLOAT = 1  # OgaElementType


class GenaiApi(CApi):
    """One function runs at a time: the library's API "is not thread safe".

    The lock is one that its thread may take again, for garbage that is collected while it is held.
    """

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(os.fspath(library))
        functions = {name: _function(loaded, name, arguments) for name, arguments in FUNCTIONS.items()}
        super().__init__(functions, "ResultGetError", "DestroyResult", "Destroy")
        self._lock = RLock()

    def call(self, name: str, *arguments: object) -> None:
        """Call a function that returns what failed; EngineError with the library's message if something did."""
        with self._lock:
            super().call(name, *arguments)

    def release(self, kind: str, handle: int) -> None:
        """Free an object of a kind."""
        with self._lock:
            super().release(kind, handle)


class GenaiModel:
    """A folder that onnxruntime-genai reads, loaded, with ``settings`` over those of its ``genai_config.json``.

    EngineError if that fails, UsageError without the package onnxruntime-genai. Garbage collection releases all.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        api = self._api = _load()
        with ExitStack() as stack:
            config = api.kept(stack, "Config", api.pointer("CreateConfig", os.fsencode(folder)))
            api.call("ConfigOverlay", config, json.dumps(settings).encode())
            self._model = api.pointer("CreateModelFromConfig", config)
        # At the interpreter's exit a thread may still compute a token, and the kernel frees all anyway.
        weakref.finalize(self, api.release, "Model", self._model).atexit = False

    def chat_template(self) -> "ChatTemplate":
        """Return what writes a chat's messages as one text; EngineError if the folder's cannot be read."""
        return ChatTemplate(self._api, self._api.pointer("CreateTokenizer", self._model))

    @contextmanager
    def loop(self, prompt: Sequence[int], options: Mapping[str, bool | float]) -> Iterator["DecodeLoop"]:
        """Give the decode loop after a prompt's tokens, with these search options, and free it at the end."""
        api = self._api
        with ExitStack() as stack:
            params = api.kept(stack, "GeneratorParams", api.pointer("CreateGeneratorParams", self._model))
            for name, value in options.items():
                kind = "Bool" if isinstance(value, bool) else "Number"
                api.call(f"GeneratorParamsSetSearch{kind}", params, name.encode(), value)
            loop = api.kept(stack, "Generator", api.pointer("CreateGenerator", self._model, params))
            api.call("Generator_AppendTokens", loop, (c_int32 * len(prompt))(*prompt), len(prompt))
            yield DecodeLoop(api, loop)


class ChatTemplate:
    """How a model wants a chat to be written."""

    def __init__(self, api: GenaiApi, tokenizer: int) -> None:
        self._api, self._tokenizer = api, tokenizer
        weakref.finalize(self, api.release, "Tokenizer", tokenizer).atexit = False

    def text(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the messages, each with a role and its content, up to where the answer begins."""
        arguments = (self._tokenizer, None, json.dumps(messages).encode(), None, True)
        with ExitStack() as stack:
            text = self._api.kept(stack, "String", self._api.pointer("TokenizerApplyChatTemplate", *arguments))
            return ctypes.string_at(text).decode()


class DecodeLoop:
    """One text on its way; EngineError if the model fails."""

    def __init__(self, api: GenaiApi, handle: int) -> None:
        self._api, self._handle = api, handle

    def next_token(self) -> int:
        """Compute and return one token."""
        self._api.call("Generator_GenerateNextToken", self._handle)
        tokens, count = c_void_p(), c_size_t()
        self._api.call("Generator_GetNextTokens", self._handle, byref(tokens), byref(count))
        if not count.value:
            raise EngineError("no token was generated")
        return c_int32.from_address(tokens.value or 0).value

    def logits(self) -> FloatArray:
        """Return the logits of what was run last: float32 ``[1, tokens, vocabulary]``."""
        api = self._api
        with ExitStack() as stack:
            tensor = api.kept(stack, "Tensor", api.pointer("Generator_GetOutput", self._handle, b"logits"))
            kind = api.number("TensorGetType", tensor)
            if kind != _FLOAT:
                raise EngineError(f"logits are of ONNX element type {kind}, not float32")
            shape = (c_int64 * api.number("TensorGetShapeRank", tensor))()
            api.call("TensorGetShape", tensor, shape, len(shape))
            return floats(copied(api.pointer("TensorGetData", tensor), prod(shape) * FLOAT_BYTES), tuple(shape))


@lru_cache(maxsize=1)
def _load() -> GenaiApi:
    try:
        import onnxruntime_genai  # noqa: PLC0415 - an extra
    except ImportError as error:
        what = "text generation needs the package onnxruntime-genai, which cannot be imported"
        raise UsageError(what, got=error, hint="pip install 'edgequant[llm]'") from None
    onnxruntime_genai.disable_telemetry_events()
    (library,) = Path(onnxruntime_genai.__file__).parent.glob("*onnxruntime-genai.*")
    return GenaiApi(library)


def _function(library: ctypes.CDLL, name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401 - of ctypes
    function = library[f"Oga{name}"]
    function.argtypes = arguments
    function.restype = c_char_p if name == "ResultGetError" else None if name.startswith("Destroy") else c_void_p
    return function
