"""Calls from an event loop: run by one thread, one after the other, in the order they came."""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Semaphore
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

MAX_PENDING = 64
"""Calls of one event loop that are handed to the thread; more wait in the loop, in their order."""


class Background:
    """One thread, started by the first call; it ends with the process or with the object."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._slots: WeakKeyDictionary[AbstractEventLoop, Semaphore] = WeakKeyDictionary()

    async def run(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns; a call that is cancelled before its turn is not run."""
        import asyncio  # noqa: PLC0415 - who has an event loop has it; other starts do without

        loop = asyncio.get_running_loop()
        with self._lock:
            slots = self._slots.setdefault(loop, asyncio.Semaphore(MAX_PENDING))
        async with slots:
            return await loop.run_in_executor(self._thread(), call)

    def _thread(self) -> "ThreadPoolExecutor":
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as asyncio

        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="edgequant")
            return self._executor
