"""What runs ``pinned`` models in a place: packed arrays in, packed arrays out.

In: ``job``, JSON of ``Job``; ``N|NAME``, the inputs of sentence N, with ``held`` its int8 activations too. Out:
``N|output``, the model's own answer; ``seconds`` of all runs; without ``held`` ``N|NAME``, the int8 activations; with
it ``N|held``, the answer of the held model, and ``N|moved``: how many activations are others than those given, and by
how many steps the farthest.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import onnxruntime as ort

from toolkit.isa.packing import Array, Arrays, packed, unpack
from toolkit.runtime.engine_python import session_options
from toolkit.runtime.manifest import SessionInfo
from toolkit.runtime.strict import read


@dataclass(frozen=True)
class Job:
    """Paths of both models (``held`` may be empty), and the names of what goes in and comes out."""

    free: str
    held: str
    inputs: tuple[str, ...]
    names: tuple[str, ...]
    output: str
    own: str
    sentences: int
    session: SessionInfo

    def pack(self, arrays: Arrays) -> bytes:
        """Return the job and its arrays as ``answer`` takes them."""
        return packed({"job": np.array(json.dumps(asdict(self))), **arrays})


def answer(data: bytes) -> bytes:
    """Run a packed job and return what came of it."""
    arrays = unpack(data)
    job = read(Job, json.loads(str(arrays.pop("job"))), "the job")
    free, held = open_model(job.free, job.session), open_model(job.held, job.session) if job.held else None
    made: dict[str, Array] = {}
    start = time.perf_counter()
    for number in range(job.sentences):
        feed = {name: arrays[f"{number}|{name}"] for name in job.inputs}
        found = _run(free, feed, (job.output, *(() if held else job.names)))
        made |= {f"{number}|{'output' if name == job.output else name}": value for name, value in found.items()}
        if held:
            given = {name: arrays[f"{number}|{name}"] for name in job.names}
            made |= {f"{number}|{name}": value for name, value in _held(held, job, feed, given)}
    made["seconds"] = np.array(time.perf_counter() - start)
    return packed(made)


def _held(session: ort.InferenceSession, job: Job, feed: Arrays, given: Arrays) -> Iterator[tuple[str, Array]]:
    found = _run(session, {**feed, **given}, (job.output, *(name + job.own for name in job.names)))
    steps = [np.abs(found[name + job.own].astype(np.int64) - given[name]) for name in job.names]
    yield "held", found[job.output]
    yield "moved", np.array([sum(np.count_nonzero(step) for step in steps), max(int(step.max()) for step in steps)])


def open_model(path: str, settings: SessionInfo) -> ort.InferenceSession:
    """Load a model for one thread."""
    disabled = list(settings.disabled_optimizers)
    options = session_options(settings, 1)
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled)


def _run(session: ort.InferenceSession, feed: Arrays, names: tuple[str, ...]) -> dict[str, Array]:
    return dict(zip(names, session.run(list(names), dict(feed)), strict=True))
