"""What runs under the counting plugin: each model once to warm up, then once between two marks."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from toolkit.runtime.manifest import ModelInfo, SessionInfo
from toolkit.runtime.session import Session
from toolkit.runtime.strict import read

MARK = 0x5A5A  # count.c's


@dataclass(frozen=True)
class Counted:
    """A model file, its settings, and the (batch, tokens) that it is run at, in order."""

    model: str
    info: ModelInfo
    session: SessionInfo
    shapes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class CountJob:
    """Models to run one after the other."""

    models: tuple[Counted, ...]

    def to_json(self) -> bytes:
        """Return the job as ``count`` reads it."""
        return json.dumps(asdict(self)).encode()


def count(data: bytes) -> None:
    """Run a job: two marks a model and shape."""
    for each in read(CountJob, json.loads(data), "the job").models:
        session = Session(Path(each.model), each.info, each.session, 1)
        for batch, tokens in each.shapes:
            feed = _feed(each.info, batch, tokens)
            session.run(feed)
            _mark()
            session.run(feed)
            _mark()


def _mark() -> None:
    """Make the one system call that the plugin looks for; there need be no such process."""
    with suppress(OSError):
        os.getpriority(os.PRIO_PROCESS, MARK)


def _feed(info: ModelInfo, batch: int, tokens: int) -> Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Token ids do not matter to the count, but every model has these."""
    ids = np.arange(batch * tokens, dtype=np.int64).reshape(batch, tokens) % 20
    known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return {name: known[name] for name in info.inputs}
