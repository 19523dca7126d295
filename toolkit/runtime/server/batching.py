"""Requests that wait are run together by one thread a model, in turns, so that a long one holds up no short one."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread

from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.limits import Limits
from toolkit.runtime.tokenization import Text

_TURN = 4
"""Runs of ``batch_tokens`` that one turn takes: enough to sort texts by length, little for those who wait."""
_SMOOTHING = 0.2


@dataclass(frozen=True)
class Engine:
    """What runs texts: results in their order, each the same whatever else is run with it; and their token counts."""

    name: str
    run: Callable[[Sequence[Text]], Sequence[object]]
    count: Callable[[Sequence[Text]], list[int]]
    windows: "Engine | None" = None
    """The same model, which reads long texts whole; None where it cannot."""


@dataclass(frozen=True)
class Answer:
    """Each text's result, and the tokens that were run for all."""

    results: list[object]
    tokens: int


@dataclass
class Job:
    """One request's texts on their way; ``lengths`` are counted when its first turn comes."""

    texts: Sequence[Text]
    engine: Engine
    future: "asyncio.Future[Answer]"
    lengths: list[int] = field(default_factory=list)
    results: list[object] = field(default_factory=list)
    taken: int = 0
    begun: bool = False
    left: bool = False
    """Nobody waits for it any more."""


class Batcher:
    """A bounded queue in front of a model, and its thread; ``told`` hears texts and tokens of every batch."""

    def __init__(self, engine: Engine, limits: Limits, told: Callable[[int, int], None]) -> None:
        self.engine = engine
        self.limits = limits
        self.told = told
        self.depth = 0
        self._pace = 0.0  # seconds a request, smoothed
        self._queue: deque[Job] = deque()
        self._changed = Condition()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._work, name=f"model {engine.name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the model's thread runs."""
        return self._thread.is_alive()

    async def submit(self, texts: Sequence[Text], *, windows: bool = False) -> Answer:
        """Run texts in their turn, long ones in ``windows`` if asked.

        RequestError 429 where the queue is full, 503 or 504 where time ran out.
        """
        if self.depth >= self.limits.max_queue:
            wait = max(1, math.ceil(self.depth * self._pace))
            raise RequestError(429, "the server is busy: try again later", code="rate_limit_exceeded", retry_after=wait)
        engine = (self.engine.windows if windows else None) or self.engine
        job = Job(texts, engine, self._loop.create_future())
        started = time.monotonic()
        self.depth += 1
        ahead = self.depth
        try:
            with self._changed:
                self._queue.append(job)
                self._changed.notify()
            async with asyncio.timeout(self.limits.timeout):
                answer = await job.future
        except TimeoutError:
            if job.begun:
                raise RequestError(504, f"the model took more than {self.limits.timeout:g} seconds") from None
            what = f"the request waited more than {self.limits.timeout:g} seconds for its turn"
            raise RequestError(503, what, retry_after=1) from None
        finally:
            job.left = True
            self.depth -= 1
        self._pace += _SMOOTHING * ((time.monotonic() - started) / ahead - self._pace)
        return answer

    def close(self) -> None:
        """Let the thread end when the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _work(self) -> None:
        while jobs := self._turn():
            for engine in {id(job.engine): job.engine for job, _ in jobs}.values():
                alike = [(job, count) for job, count in jobs if job.engine is engine]
                try:
                    self._run(alike)
                except Exception:  # noqa: BLE001 - whatever it is, the others of this turn shall not suffer from one
                    for job, count in alike:
                        self._alone(job, count)
            self._put_back([job for job, _ in jobs])

    def _turn(self) -> list[tuple[Job, int]]:
        """Return jobs with how many of their next texts run now, in the order of the queue; none at the end."""
        texts, tokens = self.limits.max_batch, self.limits.batch_tokens * _TURN
        jobs: list[tuple[Job, int]] = []
        while texts > 0 and tokens > 0:
            job = self._next(wait=not jobs)
            if job is None:
                break
            if not self._counted(job):
                continue
            count = 0
            for length in job.lengths[job.taken : job.taken + texts]:
                if tokens <= 0:
                    break
                count, tokens = count + 1, tokens - length
            texts -= count
            jobs.append((job, count))
        return jobs

    def _next(self, *, wait: bool) -> Job | None:
        with self._changed:
            while True:
                while self._queue:
                    job = self._queue.popleft()
                    if not job.left:
                        return job
                if not wait or self._closed:
                    return None
                self._changed.wait()

    def _counted(self, job: Job) -> bool:
        """Count the tokens of a job whose turn comes first; False where it has too many or cannot be counted."""
        job.begun = True
        if job.lengths:
            return True
        try:
            job.lengths = job.engine.count(job.texts)
        except Exception as error:  # noqa: BLE001 - told to the one who waits
            self._tell(job, error)
            return False
        total = sum(job.lengths)
        if total > self.limits.max_tokens:
            what = f"the request has {total} tokens; at most {self.limits.max_tokens} are taken"
            self._tell(job, RequestError(400, what, code="too_many_tokens"))
            return False
        return True

    def _run(self, jobs: Sequence[tuple[Job, int]]) -> None:
        parts = [(job, slice(job.taken, job.taken + count)) for job, count in jobs]
        results = jobs[0][0].engine.run([text for job, part in parts for text in job.texts[part]])
        tokens = sum(sum(job.lengths[part]) for job, part in parts)
        self.told(len(results), tokens)
        start = 0
        for job, count in jobs:
            job.results += results[start : start + count]
            job.taken, start = job.taken + count, start + count

    def _alone(self, job: Job, count: int) -> None:
        try:
            self._run([(job, count)])
        except Exception as error:  # noqa: BLE001 - told to the one who waits
            job.left = True
            self._tell(job, error)

    def _put_back(self, jobs: Sequence[Job]) -> None:
        """Hand over what is done; the rest goes to the end of the queue."""
        for job in jobs:
            if job.taken == len(job.texts):
                self._tell(job, Answer(job.results, sum(job.lengths)))
            elif not job.left:
                with self._changed:
                    self._queue.append(job)

    def _tell(self, job: Job, outcome: Answer | Exception) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server was told to stop at once
            self._loop.call_soon_threadsafe(_settle, job.future, outcome)


def _settle(future: "asyncio.Future[Answer]", outcome: Answer | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Answer):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
