import asyncio
import threading
import time

import pytest

from tests.runtime.tiny import LABELS, text_model
from toolkit.runtime import Classifier, Embedder
from toolkit.runtime import background as module
from toolkit.runtime.background import Background
from toolkit.runtime.errors import TextError


def test_answers_come_in_order_under_load_and_are_those_of_the_calls_without_async():
    classifier, embedder = Classifier(text_model(), LABELS["labels"]), Embedder(text_model())
    texts = [f"the {'cat ' * (i % 9)}sat" for i in range(300)]
    done = []

    async def one(i):
        found = await classifier.analyze_async(texts[i], top_k=1)
        done.append(i)
        return found

    async def every():
        return await asyncio.gather(*(one(i) for i in range(300)), embedder.encode_async("a cat"))

    *found, vector = asyncio.run(every())
    assert done == list(range(300))
    assert found == [classifier.analyze(text, top_k=1) for text in texts]
    assert vector.tolist() == embedder.encode("a cat").tolist()
    assert asyncio.run(classifier.analyze_async(texts[:3])) == classifier.analyze(texts[:3])  # another loop


def test_the_loop_goes_on_while_a_call_runs():
    release = threading.Event()

    async def both():
        call = asyncio.create_task(Background().run(lambda: release.wait(10)))
        await asyncio.sleep(0)
        release.set()  # reached only if the call does not hold up the loop
        return await call

    assert asyncio.run(both())


def test_a_bounded_number_is_handed_over_and_one_runs_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING", 3)
    background = Background()
    running, most, queued = [], [], []

    def call(i):
        running.append(i)
        most.append(len(running))
        queued.append(background._executor._work_queue.qsize())
        time.sleep(0.001)
        running.remove(i)
        return i

    async def every():
        return await asyncio.gather(*(background.run(lambda i=i: call(i)) for i in range(40)))

    assert asyncio.run(every()) == list(range(40))
    assert set(most) == {1}
    assert max(queued) <= 2


def test_what_is_cancelled_before_its_turn_is_not_run_and_errors_reach_who_waits():
    background, release, ran = Background(), threading.Event(), []

    async def go():
        first = asyncio.create_task(background.run(lambda: release.wait(10)))
        second = asyncio.create_task(background.run(lambda: ran.append(2)))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.wait([second])
        release.set()
        await first
        await background.run(lambda: ran.append(3))
        with pytest.raises(TextError, match="text 0 is not a string"):
            await Embedder(text_model()).encode_async([3])

    asyncio.run(go())
    assert ran == [3]
