import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.runtime.tiny import Parts
from toolkit.runtime.server.application import Application
from toolkit.runtime.server.endpoints import Served
from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.limits import Limits
from toolkit.runtime.server.messages import Head
from toolkit.runtime.server.metrics import Metrics
from toolkit.runtime.server.serving import Settings, _is_open

READY = Head("id", "GET", "/ready", {})


def ready(alive: bool, draining: bool) -> int:
    model = Served(Parts().manifest(), SimpleNamespace(alive=alive))
    application = Application([model], Limits(), Metrics(), None)
    application.draining = draining
    application.check(READY)
    return asyncio.run(application.answer(READY, b"", asyncio.Event().wait)).status


def test_ready_means_that_requests_are_answered():
    assert ready(alive=True, draining=False) == 200
    with pytest.raises(RequestError, match="about to stop"):
        ready(alive=True, draining=True)
    with pytest.raises(RequestError, match="a model has stopped: tiny"):
        ready(alive=False, draining=False)


def test_who_is_open_to_all_is_warned():
    settings = Settings((), address="0.0.0.0")  # noqa: S104 - nothing listens
    assert _is_open(settings)
    assert not _is_open(replace(settings, token=b"x"))
    for address in ("127.0.0.1", "127.1.2.3", "localhost", "::1"):
        assert not _is_open(replace(settings, address=address))
