import asyncio
import threading

import pytest

from toolkit.runtime.server.batching import Batcher, Engine
from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.limits import Limits


class Recorder:
    """An engine that writes down its batches; a text is its own result and counts its letters as tokens."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()

    def run(self, texts):
        self.go.wait(10)
        self.batches.append(list(texts))
        if "bad" in texts:
            raise ValueError("a text that the model fails on")
        return list(texts)

    def count(self, texts):
        if "uncountable" in texts:
            raise ValueError("no tokens")
        return [len(text) for text in texts]

    def batcher(self, told=lambda _texts, _tokens: None, **limits):
        return Batcher(Engine("m", self.run, self.count), Limits(**{"timeout": 5, **limits}), told)


async def together(batcher, recorder, requests):
    """Submit requests while the first is held, so that the others wait; return answers or errors."""
    recorder.go.clear()
    first = asyncio.create_task(batcher.submit(["first"]))
    await asyncio.sleep(0.05)
    tasks = [asyncio.create_task(batcher.submit(request)) for request in requests]
    await asyncio.sleep(0.05)
    recorder.go.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_requests_of_one_turn_with_windows_and_without_are_run_apart():
    async def main():
        whole, recorder, told = Recorder(), Recorder(), []
        engine = Engine("m", recorder.run, recorder.count, Engine("m", whole.run, lambda texts: [9 for _ in texts]))
        batcher = Batcher(engine, Limits(timeout=5), lambda texts, tokens: told.append((texts, tokens)))
        recorder.go.clear()
        first = asyncio.create_task(batcher.submit(["first"]))
        await asyncio.sleep(0.05)
        tasks = [asyncio.create_task(batcher.submit([text], windows=text.isupper())) for text in ("a", "B", "c", "D")]
        await asyncio.sleep(0.05)
        recorder.go.set()
        answers = await asyncio.gather(first, *tasks)
        assert [(answer.results, answer.tokens) for answer in answers[1:]] == [
            (["a"], 1),
            (["B"], 9),
            (["c"], 1),
            (["D"], 9),
        ]
        assert (recorder.batches, whole.batches) == ([["first"], ["a", "c"]], [["B", "D"]])
        assert told == [(1, 5), (2, 2), (2, 18)]
        batcher.close()

    asyncio.run(main())


def test_what_waits_is_run_together_in_order():
    async def main():
        recorder, told = Recorder(), []
        batcher = recorder.batcher(lambda texts, tokens: told.append((texts, tokens)))
        answers = await together(batcher, recorder, [["a", "bb"], ["c"], ["ddd"]])
        assert [answer.results for answer in answers] == [["a", "bb"], ["c"], ["ddd"]]
        assert [answer.tokens for answer in answers] == [3, 1, 3]
        assert recorder.batches == [["first"], ["a", "bb", "c", "ddd"]]
        assert told == [(1, 5), (4, 7)]
        batcher.close()

    asyncio.run(main())


def test_a_long_request_takes_turns_with_short_ones():
    async def main():
        recorder = Recorder()
        batcher = recorder.batcher(max_batch=4)
        long = [f"l{i}" for i in range(10)]
        answers = await together(batcher, recorder, [long, ["s"]])
        assert [answer.results for answer in answers] == [long, ["s"]]
        assert recorder.batches[1:] == [long[:4], ["s", *long[4:7]], long[7:]]

    asyncio.run(main())


def test_tokens_bound_a_turn():
    async def main():
        recorder = Recorder()
        batcher = recorder.batcher(batch_tokens=5)  # 20 a turn
        answers = await together(batcher, recorder, [["x" * 15, "y" * 15, "z" * 15], ["w"]])
        assert recorder.batches[1:] == [["x" * 15, "y" * 15], ["w", "z" * 15]]
        assert answers[0].tokens == 45

    asyncio.run(main())


def test_one_bad_text_harms_nobody_else():
    async def main():
        recorder = Recorder()
        batcher = recorder.batcher()
        good, bad, worse, other = await together(batcher, recorder, [["a"], ["bad"], ["uncountable"], ["b"]])
        assert (good.results, other.results) == (["a"], ["b"])
        assert isinstance(bad, ValueError)
        assert str(worse) == "no tokens"
        assert (await batcher.submit(["c"])).results == ["c"]
        assert batcher.alive
        assert batcher.depth == 0

    asyncio.run(main())


def test_the_queue_is_bounded():
    async def main():
        recorder = Recorder()
        batcher = recorder.batcher(max_queue=3)
        answers = await together(batcher, recorder, [["a"], ["b"], ["c"], ["d"]])
        assert [answer.results for answer in answers[:2]] == [["a"], ["b"]]
        assert [error.status for error in answers[2:]] == [429, 429]
        assert dict(answers[2].headers)["Retry-After"] == "1"

    asyncio.run(main())


def test_too_many_tokens_are_refused():
    async def main():
        with pytest.raises(RequestError, match="has 30 tokens; at most 20 are taken"):
            await Recorder().batcher(max_tokens=20).submit(["x" * 15, "y" * 15])

    asyncio.run(main())


def test_time_runs_out_while_waiting_and_while_running():
    async def main():
        recorder = Recorder()
        batcher = recorder.batcher(timeout=0.1)
        recorder.go.clear()
        outcomes = await asyncio.gather(
            batcher.submit(["running"]), batcher.submit(["waiting"]), return_exceptions=True
        )
        await asyncio.sleep(0)
        assert sorted(error.status for error in outcomes) in ([503, 504], [504, 504])
        recorder.go.set()
        assert (await batcher.submit(["next"])).results == ["next"]
        assert batcher.depth == 0

    asyncio.run(main())


def test_the_thread_ends_when_it_is_told():
    async def main():
        batcher = Recorder().batcher()
        await batcher.submit(["a"])
        batcher.close()
        batcher._thread.join(5)
        assert not batcher.alive

    asyncio.run(main())
