"""How much faster int8 is than fp32 on this CPU: CPU time of one thread, interleaved, medians of ratios."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.feeds import Feed, unpadded_feed
from toolkit.progress import Track, silent
from toolkit.runtime.manifest import ModelInfo, SessionInfo
from toolkit.runtime.session import Session

SHAPES = ((1, 16), (1, 128), (8, 64))
ROUNDS = 7
ROUND_SECONDS = 0.04


@dataclass(frozen=True)
class Speed:
    """At one shape (batch, length): CPU milliseconds a run, and the median ratio fp32 / int8."""

    batch: int
    length: int
    fp32_ms: float
    int8_ms: float
    ratio: float


def compare(
    models: tuple[bytes, bytes],
    info: ModelInfo,
    session: SessionInfo,
    max_length: int,
    track: Track = silent,
    *,
    by_token: bool = False,
) -> tuple[Speed, ...]:
    """Time (fp32, int8) at SHAPES that the model allows; the numbers hold for this CPU and nothing else."""
    rank = 3 if by_token else 2
    fp32, int8 = (Session(model, info, session, 1) for model in models)
    shapes = [(batch, min(length, max_length)) for batch, length in SHAPES]
    return tuple(
        _compare((fp32, int8), info, shape, rank) for shape in track(shapes, "time fp32 and int8", len(shapes))
    )


def _compare(sessions: tuple[Session, Session], info: ModelInfo, shape: tuple[int, int], rank: int) -> Speed:
    timed = rounds(sessions, info.inputs, shape, rank)
    medians = [1000 * statistics.median(column) for column in zip(*timed, strict=True)]
    return Speed(*shape, medians[0], medians[1], statistics.median(a / b for a, b in timed))


def rounds(
    sessions: Sequence[Session], inputs: Sequence[str], shape: tuple[int, int], rank: int = 2
) -> list[tuple[float, ...]]:
    """Return the CPU seconds of one run, [ROUNDS][sessions]: each round times all of them, one after the other."""
    # Token ids do not matter to the time, but every model has these.
    feed = unpadded_feed(np.random.default_rng(0).integers(0, 20, shape), inputs)
    repeats = max(1, int(ROUND_SECONDS / max(_seconds(sessions[0], feed, rank, 1), 1e-4)))
    return [tuple(_seconds(session, feed, rank, repeats) for session in sessions) for _ in range(ROUNDS)]


def _seconds(session: Session, feed: Feed, rank: int, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        session.run(feed, rank)
    return (time.process_time() - start) / repeats
