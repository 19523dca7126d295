"""Texts that one thread a model generates in turns, a token each, so that a long one holds up no short one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Condition, Thread

from toolkit.runtime.errors import ContextError, TextError, UsageError
from toolkit.runtime.generation import Generation
from toolkit.runtime.generator import Generator, Message
from toolkit.runtime.sampling import Sampling
from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.limits import Limits


@dataclass(frozen=True)
class Wanted:
    """What is asked for: a text that goes on from a prompt, or the answer to messages."""

    prompt: str | tuple[Message, ...]
    sampling: Sampling


@dataclass
class Job:
    """One text on its way; ``events`` are its pieces, at the end what was generated, or an error."""

    wanted: Wanted
    timeout: float
    events: "asyncio.Queue[str | Generation | Exception]" = field(default_factory=asyncio.Queue)
    generation: Generation | None = None
    left: bool = False
    """Nobody waits for it any more."""

    async def pieces(self) -> AsyncIterator[str | Generation]:
        """Yield the pieces, and at the end the Generation; RequestError where time ran out or something is wrong."""
        deadline = asyncio.get_running_loop().time() + self.timeout
        event: str | Generation | Exception = ""
        while not isinstance(event, Generation):
            try:
                async with asyncio.timeout_at(deadline):
                    event = await self.events.get()
            except TimeoutError:
                raise self._too_late() from None
            if isinstance(event, Exception):
                raise event
            yield event

    def leave(self) -> None:
        """Have no more of it computed; whoever waits for a piece hears that the client has gone."""
        self.left = True
        self.events.put_nowait(ConnectionResetError("the client has gone"))

    def _too_late(self) -> RequestError:
        if self.generation is not None:
            return RequestError(504, f"the text took more than {self.timeout:g} seconds")
        what = f"the request waited more than {self.timeout:g} seconds for its turn"
        return RequestError(503, what, retry_after=1)


class Decoder:
    """A bounded queue in front of a language model, and its thread; ``told`` hears prompt's and text's tokens."""

    def __init__(self, name: str, generator: Generator, limits: Limits, told: Callable[[int, int], None]) -> None:
        self.chats = generator.chats
        self.limits = limits
        self.told = told
        self.depth = 0
        self._generator = generator
        self._queue: deque[Job] = deque()
        self._changed = Condition()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._work, name=f"model {name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the model's thread runs."""
        return self._thread.is_alive()

    def submit(self, wanted: Wanted) -> Job:
        """Let a text be generated in its turn; RequestError 429 where the queue is full."""
        if self.depth >= self.limits.max_queue:
            raise RequestError(429, "the server is busy: try again later", code="rate_limit_exceeded", retry_after=1)
        job = Job(wanted, self.limits.generation_timeout)
        self.depth += 1
        with self._changed:
            self._queue.append(job)
            self._changed.notify()
        return job

    def close(self) -> None:
        """Let the thread end when all texts are generated."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _work(self) -> None:
        active: deque[Job] = deque()
        while self._take(active):
            job = active.popleft()
            if not job.left and self._step(job):
                active.append(job)
                continue
            if job.generation is not None:
                job.generation.close()
                self.told(job.generation.prompt_tokens, job.generation.completion_tokens)
            self._call(self._settle)

    def _take(self, active: deque[Job]) -> bool:
        """Let waiting jobs in while there is room; wait where there is none at all; False at the end."""
        with self._changed:
            while not active and not self._queue and not self._closed:
                self._changed.wait()
            while self._queue and len(active) < self.limits.max_generations:
                active.append(self._queue.popleft())
        return bool(active)

    def _step(self, job: Job) -> bool:
        """Compute one token of a text; False where there is no more to compute."""
        try:
            if job.generation is None:
                job.generation = self._begin(job.wanted)
            text = job.generation.step()
        except Exception as error:  # noqa: BLE001 - told to the one who waits
            self._tell(job, _in_words(error))
            return False
        if text:
            self._tell(job, text)
        if job.generation.finish_reason is None:
            return True
        self._tell(job, job.generation)
        return False

    def _begin(self, wanted: Wanted) -> Generation:
        """Return a text of no token yet, whose tokens are within the limit of one request."""
        if isinstance(wanted.prompt, str):
            ids = self._generator.encode(wanted.prompt)
        else:
            ids = self._generator.encode_chat(wanted.prompt)
        most, asked = self.limits.max_tokens - len(ids), wanted.sampling.max_tokens
        if most < (asked or 1):
            what = f"prompt and text have {len(ids) + (asked or 1)} tokens; at most {self.limits.max_tokens} are taken"
            raise RequestError(400, what, code="too_many_tokens")
        room = self._generator.context - len(ids)
        tokens = asked or (most if most < room else None)
        return self._generator.start(ids, replace(wanted.sampling, max_tokens=tokens))

    def _tell(self, job: Job, event: str | Generation | Exception) -> None:
        self._call(job.events.put_nowait, event)

    def _settle(self) -> None:
        self.depth -= 1

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server was told to stop at once
            self._loop.call_soon_threadsafe(function, *arguments)


def _in_words(error: Exception) -> Exception:
    """Return what is wrong with a prompt as an answer to its sender."""
    if isinstance(error, ContextError):
        return RequestError(400, flat(error), code="context_length_exceeded")
    return RequestError(400, flat(error)) if isinstance(error, TextError | UsageError) else error


def flat(error: TextError | UsageError) -> str:
    """Return an error's words on one line, without the path that it may tell."""
    first, *facts = [line.strip() for line in str(error).splitlines()]
    told = [fact for fact in facts if not fact.startswith(("where:", "hint:"))]
    return f"{first}: {', '.join(told)}" if told else first
