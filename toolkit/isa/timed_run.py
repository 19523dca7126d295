"""What times models in a place: a packed job and its inputs in, CPU seconds as JSON out."""

import json
import time
from dataclasses import dataclass

import onnxruntime as ort

from toolkit.isa.packing import Arrays, unpack
from toolkit.isa.pinned_run import open_model
from toolkit.runtime.manifest import SessionInfo
from toolkit.runtime.strict import read


@dataclass(frozen=True)
class TimedJob:
    """Paths of models, how each is run, and how often: each round runs all of them, one after the other.

    ``inputs`` are the names of one feed after the other; its arrays are called ``N|NAME``.
    """

    models: tuple[str, ...]
    sessions: tuple[SessionInfo, ...]
    inputs: tuple[tuple[str, ...], ...]
    rounds: int
    round_seconds: float


def answer(data: bytes) -> bytes:
    """Run a packed job; return the CPU seconds of one run as JSON, [feeds][rounds][models]."""
    arrays = unpack(data)
    job = read(TimedJob, json.loads(str(arrays.pop("job"))), "the job")
    sessions = [open_model(path, settings) for path, settings in zip(job.models, job.sessions, strict=True)]
    feeds = [{name: arrays[f"{number}|{name}"] for name in names} for number, names in enumerate(job.inputs)]
    return json.dumps([_rounds(sessions, feed, job) for feed in feeds]).encode()


def _rounds(sessions: list[ort.InferenceSession], feed: Arrays, job: TimedJob) -> list[list[float]]:
    for session in sessions:
        _seconds(session, feed, 1)
    repeats = max(1, int(job.round_seconds / max(_seconds(sessions[0], feed, 1), 1e-5)))
    return [[_seconds(session, feed, repeats) for session in sessions] for _ in range(job.rounds)]


def _seconds(session: ort.InferenceSession, feed: Arrays, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        session.run(None, feed)
    return (time.process_time() - start) / repeats
