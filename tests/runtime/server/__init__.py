"""A real server process on loopback, and a client of few words."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread

import onnx_ir as ir

import toolkit
from tests.models import tiny_bert
from tests.runtime.tiny import Parts
from toolkit.runtime.manifest import Golden, ModelInfo, TokenizerInfo
from toolkit.sources import open_source

ROOT = Path(toolkit.__file__).parent.parent
JSON = {"Content-Type": "application/json"}
TAGS = ("O", "B-x", "I-x")
TASKS = {"reranker": ("reranking", ()), "tokens": ("token-classification", TAGS)}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]["message"]


@dataclass
class Server:
    """A server that was started; what it logs is read all the time."""

    process: subprocess.Popen
    logs: list[dict] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    address: tuple[str, int] = ("", 0)

    def read_logs(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line)
            with suppress(ValueError):
                self.logs.append(json.loads(line))

    def connect(self, timeout: float = 30) -> HTTPConnection:
        return HTTPConnection(*self.address, timeout=timeout)

    def ask(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Reply:
        """Send one request; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = self.connect()
        try:
            connection.request(method, path, data, (JSON if data is not None else {}) if headers is None else headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    def post(self, path: str, body: object) -> Reply:
        return self.ask("POST", path, body)

    def log_of(self, reply: Reply, event: str = "request") -> dict:
        """Return what was logged of a request, once it is."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for line in list(self.logs):
                if line["event"] == event and line.get("id") == reply.headers["x-request-id"]:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"nothing was logged of {reply}")

    def raw(self, data: bytes, *, end: bool = False) -> bytes:
        """Send bytes as they are; return all that comes back until the server closes."""
        with socket.create_connection(self.address, timeout=30) as connection:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(60)
        self.reader.join(10)
        self.process.stderr.close()
        return code


def environment(**env: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("EDGEQUANT_", "NOTIFY_"))}
    return {**clean, "PYTHONPATH": str(ROOT), **env}


RUNTIME = ("-m", "toolkit.runtime")


def start(*arguments: object, env: dict[str, str] | None = None, program: Sequence[str] = RUNTIME) -> Server:
    """Start ``serve`` on a free port of loopback and wait until it says that it is ready."""
    command = [sys.executable, "-W", "error", *program, "serve", *map(str, arguments)]
    if "--unix" not in command:
        command += ["--port", "0"]
    process = subprocess.Popen(command, env=environment(**env or {}), stderr=subprocess.PIPE, text=True)
    server = Server(process)
    while not server.logs or server.logs[-1]["event"] != "ready":
        line = process.stderr.readline()
        server.lines.append(line)
        if not line.startswith("{"):
            server.lines.append(process.communicate(timeout=60)[1])
            raise RuntimeError(f"no server: {''.join(server.lines)}")
        server.logs.append(json.loads(line))
    host, _, port = server.logs[-1]["address"].removeprefix("http://").rpartition(":")
    server.address = (host, int(port) if port.isdigit() else 0)
    server.reader = Thread(target=server.read_logs, daemon=True)
    server.reader.start()
    return server


def bert_bundle(folder: Path, head: str) -> Path:
    """Write the bundle of a tiny BERT with a reranker's head, or one that tags tokens."""
    source = open_source(str(tiny_bert(folder.with_name(f"{folder.name}-float"), head=head)))
    task, labels = TASKS[head]
    dimension = int(source.model.graph.outputs[0].shape[-1])
    inputs = tuple(str(value.name) for value in source.model.graph.inputs)
    parts = Parts(
        files={
            "model.onnx": ir.to_proto(source.model).SerializeToString(),
            "tokenizer.json": source.tokenizer_json.encode(),
        },
        changes={
            "name": head,
            "task": task,
            "labels": labels,
            "pooling": None,
            "model": ModelInfo("model.onnx", inputs, source.output, dimension),
            "tokenizer": TokenizerInfo("tokenizer.json", source.max_length, source.pad_id),
            "golden": Golden(("a",), ("b",) if head == "reranker" else (), ((0.0,) * dimension,), 0.9, 1.0),
        },
    )
    return parts.write(folder)
