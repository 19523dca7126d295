import asyncio
from threading import Event

import pytest

from toolkit.runtime import Sampling
from toolkit.runtime.server.decoding import Decoder, Wanted
from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.limits import Limits

WANTED = Wanted("a", Sampling())


class Stuck:
    """A generator whose first text never begins until it is let go."""

    chats, context = False, 9

    def __init__(self):
        self.free = Event()

    def encode(self, _prompt):
        self.free.wait(30)
        raise OSError("broken")


def test_a_request_whose_turn_does_not_come_is_told_so():
    async def run():
        generator = Stuck()
        decoder = Decoder("x", generator, Limits(generation_timeout=0.05), lambda *_: None)
        jobs = [decoder.submit(WANTED) for _ in range(2)]
        for job in jobs:
            with pytest.raises(RequestError, match=r"waited more than .* seconds for its turn") as found:
                await anext(job.pieces())
            assert (found.value.status, found.value.headers) == (503, (("Retry-After", "1"),))
            job.leave()
        assert decoder.depth == 2
        generator.free.set()
        while decoder.depth:
            await asyncio.sleep(0.001)
        decoder.close()
        while decoder.alive:
            await asyncio.sleep(0.001)

    asyncio.run(run())


def test_what_is_nobodys_fault_goes_to_the_log():
    async def run():
        generator = Stuck()
        generator.free.set()
        decoder = Decoder("x", generator, Limits(), lambda *_: None)
        with pytest.raises(OSError, match="broken"):
            await anext(decoder.submit(WANTED).pieces())
        decoder.close()

    asyncio.run(run())
