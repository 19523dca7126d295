"""The process that runs one model, of whatever engine: a line of JSON and packed arrays in, the same out.

Messages, by ``do``: ``open`` (``path``, ``runner``, ``session``, ``float32``), ``run`` (arrays: inputs; ``output``),
``feed`` (arrays: inputs to time), ``time`` (``repeats`` of that), ``peak``. What fails is answered by ``error``.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from toolkit.engines.building import peak_bytes
from toolkit.isa.packing import Arrays, packed, unpack
from toolkit.runtime.manifest import SessionInfo
from toolkit.runtime.session import EngineSession
from toolkit.runtime.strict import read

Reply = tuple[dict[str, Any], Arrays]


def serve(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Answer messages until there are no more."""
    server = _Server()
    while line := stdin.readline():
        message = json.loads(line)
        arrays = unpack(stdin.read(message.pop("bytes")))
        try:
            told, found = server.answer(message, arrays)
        except Exception as error:  # noqa: BLE001 - the edge of a process; engines raise whatever they like
            told, found = {"error": f"{type(error).__name__}: {error}"}, {}
        send(stdout, told, found)


def send(stream: BinaryIO, message: Mapping[str, Any], arrays: Arrays) -> None:
    """Write one message."""
    data = packed(arrays)
    stream.write(json.dumps({**message, "bytes": len(data)}).encode() + b"\n" + data)
    stream.flush()


class _Server:
    """One open model."""

    def __init__(self) -> None:
        self._session: EngineSession | None = None
        self._feed: Arrays = {}

    def answer(self, message: Mapping[str, Any], arrays: Arrays) -> Reply:
        what = message["do"]
        if what == "open":
            self._session = _open(message)
            return {"inputs": self._session.inputs, "outputs": self._session.outputs}, {}
        if what == "feed":
            self._feed = arrays
            return {}, {}
        if what == "peak":
            return {"peak": peak_bytes()}, {}
        if self._session is None:
            raise ValueError("no model is open")
        output = message["output"]
        if what == "run":
            return {}, {"output": self._session.run(arrays, output)}
        return {"seconds": _seconds(self._session, self._feed, output, message["repeats"])}, {}


def _open(message: Mapping[str, Any]) -> EngineSession:
    path = Path(message["path"])
    if message["runner"] == "openvino":
        from toolkit.engines.openvino_session import OpenVinoSession  # noqa: PLC0415 - one of two

        return OpenVinoSession(path, 1, float32=message["float32"])
    from toolkit.runtime.engine_python import PythonSession  # noqa: PLC0415 - one of two

    return PythonSession(path, read(SessionInfo, message["session"], "the message"), 1)


def _seconds(session: EngineSession, feed: Arrays, output: str, repeats: int) -> float:
    """Return the CPU seconds of one run; the first one, whose caches are another process's, is not counted."""
    session.run(feed, output)
    start = time.process_time()
    for _ in range(repeats):
        session.run(feed, output)
    return (time.process_time() - start) / repeats
