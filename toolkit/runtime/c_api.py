"""A C library by ctypes whose functions return NULL, or what failed as an object with a message."""

import ctypes
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from ctypes import byref, c_size_t, c_void_p
from typing import Any

from toolkit.runtime.errors import EngineError


class CApi:
    """The functions of one loaded library. ctypes lets go of Python's lock while one of them runs.

    ``message`` and ``discard`` are the names of those that tell what failed, and free that; ``free`` begins the names
    of those that free an object of a kind.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]], message: str, discard: str, free: str) -> None:
        self._functions = functions
        self._message, self._discard, self._free = message, discard, free

    def call(self, name: str, *arguments: object) -> None:
        """Call a function that returns what failed; EngineError with the library's message if something did."""
        failure = self._functions[name](*arguments)
        if failure:
            message = self._functions[self._message](failure).decode(errors="replace")
            self._functions[self._discard](failure)
            raise EngineError(message)

    def pointer(self, name: str, *arguments: object) -> int:
        """Call a function whose last argument is a pointer out; return that pointer's value."""
        out = c_void_p()
        self.call(name, *arguments, byref(out))
        return out.value or 0

    def number(self, name: str, *arguments: object) -> int:
        """Call a function whose last argument is a size_t or an int out (all targets are little-endian); return it."""
        out = c_size_t()
        self.call(name, *arguments, byref(out))
        return out.value

    def release(self, kind: str, handle: int) -> None:
        """Free an object of a kind."""
        self._functions[f"{self._free}{kind}"](handle)

    def kept(self, stack: ExitStack, kind: str, handle: int) -> int:
        """Return an object that is freed when the stack is closed."""
        stack.callback(self.release, kind, handle)
        return handle


def copied(source: int, count: int) -> bytearray:
    """Return a copy of so many bytes of the library's memory."""
    data = bytearray(count)
    if data:
        ctypes.memmove(ctypes.addressof(ctypes.c_char.from_buffer(data)), source, count)
    return data
