"""Servers of tiny bundles; those that no test harms are shared."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runtime.server import Server, bert_bundle, start
from tests.runtime.tiny import LABELS, Parts


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of each task."""
    folder = tmp_path_factory.mktemp("bundles")
    Parts().write(folder / "embedder")
    Parts(changes={**LABELS, "name": "emotions"}).write(folder / "classifier")
    bert_bundle(folder / "reranker", "reranker")
    bert_bundle(folder / "tokens", "tokens")
    return folder


@pytest.fixture(scope="session")
def tiny(bundles: Path) -> Path:
    """An embedding bundle."""
    return bundles / "embedder"


@pytest.fixture(scope="session")
def server(bundles: Path) -> Iterator[Server]:
    """A server of all tasks, shared: it must live through whatever is asked of it."""
    started = start(bundles, "--threads", "1")
    yield started
    assert started.stop() == 0


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    started: list[Server] = []

    def run(*arguments: object, **options: object) -> Server:
        started.append(start(*arguments, "--threads", "1", **options))
        return started[-1]

    yield run
    for each in started:
        if not each.process.stderr.closed:
            each.process.kill()
            each.wait()
