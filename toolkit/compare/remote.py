"""A model that runs in a process of its own, behind the interface of the runtime's engines."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import numpy as np

from toolkit.engines.catalog import Runner
from toolkit.engines.serving import send
from toolkit.isa.packing import Arrays, unpack
from toolkit.isa.place import Place
from toolkit.runtime.arrays import FloatArray, IntArray
from toolkit.runtime.errors import EngineError
from toolkit.runtime.manifest import SessionInfo

# What a library prints must not stand between two answers.
_RUN = (
    "import os, sys; out = os.fdopen(os.dup(1), 'wb'); os.dup2(2, 1); "
    "from toolkit.engines.serving import serve; serve(sys.stdin.buffer, out)"
)


@dataclass(frozen=True)
class Runnable:
    """A model's file and how it is run; ``float32`` is between OpenVINO's int8 layers."""

    model: Path
    runner: Runner
    session: SessionInfo
    float32: bool = False


class Remote:
    """An EngineSession; EngineError where the other process fails."""

    def __init__(self, runnable: Runnable, place: Place) -> None:
        """Start and load; EngineError if that fails."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [*place.python, "-P", "-c", _RUN],
            env=dict(place.env), cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        message = {**asdict(runnable), "do": "open", "path": str(runnable.model.resolve())}
        message.pop("model")
        try:
            told = self._ask(message)
        except EngineError:
            self.__exit__(None, None, None)
            raise
        self.inputs = tuple(told["inputs"])
        self.outputs = tuple(told["outputs"])

    def run(self, feed: Mapping[str, IntArray], output: str) -> FloatArray:
        """Return one output."""
        answer = self._answer({"do": "run", "output": output}, cast(Arrays, feed))
        return np.asarray(answer[1]["output"], np.float32)

    def set_feed(self, feed: Mapping[str, IntArray]) -> None:
        """Give the inputs that ``seconds`` runs."""
        self._answer({"do": "feed"}, cast(Arrays, feed))

    def seconds(self, repeats: int, output: str) -> float:
        """Return the CPU seconds of one run, over some."""
        return float(self._ask({"do": "time", "repeats": repeats, "output": output})["seconds"])

    def peak_bytes(self) -> int:
        """Return the process's peak of resident memory until now."""
        return int(self._ask({"do": "peak"})["peak"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return self._answer(message, {})[0]

    def _answer(self, message: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        stdin, stdout = cast(BinaryIO, self._process.stdin), cast(BinaryIO, self._process.stdout)
        try:
            send(stdin, message, arrays)
        except BrokenPipeError:
            raise EngineError(self._last_words()) from None
        line = stdout.readline()
        if not line:
            raise EngineError(self._last_words())
        told = json.loads(line)
        found = unpack(stdout.read(told.pop("bytes")))
        if "error" in told:
            raise EngineError(told["error"])
        return told, found

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        return said[-1] if said else f"the process ended with {self._process.returncode} and no word"
