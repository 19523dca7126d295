"""How long models take on a place's kernels: CPU time of one thread, all of them interleaved in one process."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import EdgequantError
from toolkit.isa.packing import packed
from toolkit.isa.place import Place, run
from toolkit.isa.timed_run import TimedJob
from toolkit.runtime.manifest import SessionInfo

ROUNDS = 15
ROUND_SECONDS = 0.03
"""A model runs as often in a round as the first one does in that time."""
_TIMEOUT = 3600.0
_RUN = "import sys; from toolkit.isa.timed_run import answer; sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))"


@dataclass(frozen=True)
class Variant:
    """An ONNX model and how it is run."""

    model: bytes
    session: SessionInfo


def cpu_seconds(
    place: Place, variants: Sequence[Variant], feeds: Sequence[Mapping[str, npt.NDArray[Any]]], rounds: int = ROUNDS
) -> npt.NDArray[np.float64]:
    """Return the CPU seconds of one run, [feeds, rounds, variants]; all variants take the same inputs.

    EdgequantError if a model fails there.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.onnx" for number in range(len(variants))]
        for path, variant in zip(paths, variants, strict=True):
            path.write_bytes(variant.model)
        job = TimedJob(
            models=tuple(map(str, paths)),
            sessions=tuple(variant.session for variant in variants),
            inputs=tuple(tuple(feed) for feed in feeds),
            rounds=rounds,
            round_seconds=ROUND_SECONDS,
        )
        arrays = {f"{number}|{name}": np.asarray(v) for number, feed in enumerate(feeds) for name, v in feed.items()}
        data = packed({"job": np.array(json.dumps(asdict(job))), **arrays})
        done = run(place, ("-P", "-c", _RUN), data, timeout=_TIMEOUT)
    try:
        return np.array(json.loads(done.stdout), np.float64).reshape(len(feeds), rounds, len(variants))
    except ValueError:
        raise EdgequantError(f"{place} gave no times", got=done.stderr[-500:] or "no word") from None
