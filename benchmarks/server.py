"""Measure the server on this machine, on loopback alone: start, memory, rate, four times too much, and SIGTERM.

``python benchmarks/server.py BUNDLE`` with the bundle of an embedding model; ``--slim`` measures the runtime without
numpy. Every answer is compared with what the server gives for the same request alone: no number may differ by
more than the last digits of a float32 that another batch's padding changes.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp, inf, log
from pathlib import Path
from typing import IO

from toolkit.runtime import cpu
from toolkit.runtime.bundle import open_bundle

WORDS = (  # noqa: SIM905 - words
    "the a cat dog house river runs was not very good bad film music engine report market weather doctor phone price "
    "because although yesterday slowly through between question answer number letter window garden"
).split()
POOL = 300
"""Different requests; they are asked in random order."""
TIMEOUT = 30.0
CLIENTS = 4
STARTS = 5
SIZES = (*[1] * 14, 2, 3, 4, 8, 16)
"""Texts in a request, each as likely as the next; one text in fifty is longer than the model reads."""
ALIKE = 1e-6
RUNTIME = ("-m", "toolkit.runtime")
SLIM = ("-c", "import sys; sys.modules['numpy'] = None; from toolkit.runtime.__main__ import main; sys.exit(main())")
KILLED = 24
"""Requests that are on their way when SIGTERM comes."""


@dataclass(frozen=True)
class Reply:
    """Status (0: none came), head, body and seconds of one request."""

    status: int
    head: str
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Server:
    """A started server, and the seconds until it said that it was ready."""

    process: "subprocess.Popen[bytes]"
    port: int
    seconds: float
    cpu_seconds: float


class Load:
    """Requests of mixed sizes with the answers that are right for them."""

    def __init__(self, port: int, seed: int = 5) -> None:
        self.port = port
        self.rng = random.Random(seed)  # noqa: S311 - a benchmark
        texts = [[self._text() for _ in range(self.rng.choice(SIZES))] for _ in range(POOL)]
        self.bodies = [json.dumps({"input": each}).encode() for each in texts]
        self.right: list[list[float]] = []
        self.difference = 0.0  # the largest of all answers

    def _text(self) -> str:
        long = self.rng.random() < 0.02
        return " ".join(self.rng.choices(WORDS, k=400 if long else round(exp(self.rng.uniform(log(3), log(80))))))

    async def learn(self) -> None:
        """Ask each request alone."""
        for body in self.bodies:
            reply = await ask(self.port, body)
            if reply.status != 200:
                raise RuntimeError(f"HTTP {reply.status}: {reply.body.decode()}")
            self.right.append(_numbers(reply.body))

    async def one(self) -> Reply:
        """Ask a random request; a wrong answer has status -1."""
        number = self.rng.randrange(POOL)
        reply = await ask(self.port, self.bodies[number])
        if reply.status != 200:
            return reply
        got, right = _numbers(reply.body), self.right[number]
        off = max(abs(a - b) for a, b in zip(got, right, strict=True)) if len(got) == len(right) else inf
        self.difference = max(self.difference, off)
        return reply if off <= ALIKE else Reply(-1, reply.head, reply.body, reply.seconds)

    async def closed(self, count: int) -> float:
        """Ask ``count`` requests by a few clients that wait for their answers; return requests a second."""
        started = time.monotonic()
        left = iter(range(count))
        await asyncio.gather(*(self._client(left) for _ in range(CLIENTS)))
        return count / (time.monotonic() - started)

    async def _client(self, left: Iterator[int]) -> None:
        for _ in left:
            reply = await self.one()
            if reply.status != 200:
                raise RuntimeError(f"HTTP {reply.status}: {reply.body[:200].decode()}")

    async def open(self, rate: float, seconds: float) -> list[Reply]:
        """Ask ``rate`` requests a second whatever comes back, and wait for every answer."""
        started = time.monotonic()
        tasks = []
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
            tasks.append(asyncio.create_task(self.one()))
        return await asyncio.gather(*tasks)


async def ask(port: int, body: bytes | None, path: str = "/v1/embeddings") -> Reply:
    """Send one request on a connection of its own."""
    started = time.monotonic()
    head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + b"\r\n" + (body or b""))
        answer = await asyncio.wait_for(reader.read(-1), 2 * TIMEOUT)
        writer.close()
    except OSError as error:
        return Reply(0, str(error), b"", time.monotonic() - started)
    got, _, content = answer.partition(b"\r\n\r\n")
    return Reply(int(answer[9:12] or b"0"), got.decode().lower(), content, time.monotonic() - started)


@contextmanager
def running(options: argparse.Namespace) -> Iterator[Server]:
    """Start a server on loopback and wait for its word."""
    program = SLIM if options.slim else RUNTIME
    command = [sys.executable, *program, "serve", options.bundle, "--port", "0", "--threads", str(options.threads)]
    with tempfile.TemporaryFile("w+b") as log_file:
        started = time.monotonic()
        process = subprocess.Popen([*command, "--timeout", str(TIMEOUT)], stderr=log_file)
        try:
            port = _port(process, log_file)
            yield Server(process, port, time.monotonic() - started, _cpu_seconds(process.pid))
        finally:
            process.kill()
            process.wait()


def _cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _port(process: "subprocess.Popen[bytes]", log_file: IO[bytes]) -> int:
    while process.poll() is None:
        for line in os.pread(log_file.fileno(), 65536, 0).splitlines(keepends=True):
            if line.endswith(b"\n") and json.loads(line)["event"] == "ready":
                return int(json.loads(line)["address"].rpartition(":")[2])
        time.sleep(0.005)
    raise RuntimeError(os.pread(log_file.fileno(), 65536, 0).decode())


async def memory(port: int, kind: str) -> int:
    """Return the server's resident memory in bytes, ``now`` or at its ``peak``."""
    page = (await ask(port, None, "/metrics")).body.decode()
    return int(page.split(f'edgequant_memory_bytes{{kind="{kind}"}} ')[1].split()[0])


async def measure(server: Server, options: argparse.Namespace) -> dict[str, object]:
    """Return memory after a thousand requests and after all, the rate, and what too much of them does."""
    load = Load(server.port)
    at_start = await memory(server.port, "peak")
    await load.learn()
    rate = await load.closed(1000 - POOL)
    first = await memory(server.port, "peak")
    rate = await load.closed(options.requests - 1000) if options.requests > 1000 else rate
    last = await memory(server.port, "peak")
    replies = await load.open(4 * rate, options.seconds)
    over = await memory(server.port, "peak")
    return {
        "peak_rss_mb": {"start": _mb(at_start), "1000": _mb(first), str(options.requests): _mb(last), "4x": _mb(over)},
        "growth": round(last / first - 1, 4),
        "requests_per_second": round(rate, 1),
        "overload": _overload(replies),
        "sigterm": await killed(server, load),
        "largest_difference": load.difference,
    }


def _overload(replies: Sequence[Reply]) -> dict[str, object]:
    accepted = sorted(reply.seconds for reply in replies if reply.status == 200)
    refused = [reply for reply in replies if reply.status == 429]
    return {
        "sent": len(replies),
        "statuses": {str(status): count for status, count in Counter(reply.status for reply in replies).items()},
        "wrong": sum(reply.status == -1 for reply in replies),
        "lost": sum(reply.status not in (200, 429, -1) for reply in replies),
        "refused_without_retry_after": sum("\r\nretry-after: " not in reply.head for reply in refused),
        "p50_s": round(statistics.median(accepted), 3),
        "p99_s": round(accepted[int(len(accepted) * 0.99)], 3),
        "timeout_s": TIMEOUT,
    }


async def killed(server: Server, load: Load) -> dict[str, object]:
    """Send requests, then SIGTERM while they wait; every one must be answered rightly, and the exit code be 0."""
    tasks = [asyncio.create_task(load.one()) for _ in range(KILLED)]
    await asyncio.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)
    replies = await asyncio.gather(*tasks)
    code = await asyncio.to_thread(server.process.wait, TIMEOUT)
    return {"sent": KILLED, "right": sum(reply.status == 200 for reply in replies), "exit_code": code}


def _numbers(body: bytes) -> list[float]:
    return [value for row in json.loads(body)["data"] for value in row["embedding"]]


def _mb(count: int) -> float:
    return round(count / 1e6, 1)


def main() -> None:
    """Print the figures and their conditions as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", metavar="BUNDLE", help="the folder of an embedding bundle")
    parser.add_argument("--requests", type=int, default=20_000, help="mixed requests in all (default: 20000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the overload lasts (default: 10)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the model (default: 1)")
    parser.add_argument("--slim", action="store_true", help="serve by the C API, without numpy")
    options = parser.parse_args()
    manifest = open_bundle(options.bundle).manifest
    conditions = {
        "model": f"{manifest.name} for {manifest.target.name}",
        "machine": f"{cpu.architecture()}, {cpu.available_threads()} threads, load {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "engine": "capi, without numpy" if options.slim else "python",
        "threads": options.threads,
        "clients": CLIENTS,
    }
    starts = []
    for _ in range(STARTS):
        with running(options) as server:
            starts.append((server.seconds, server.cpu_seconds))
    with running(options) as server:
        found = asyncio.run(measure(server, options))
    wall, used = zip(*starts, strict=True)
    ready = {"ready_s": round(statistics.median(wall), 3), "ready_cpu_s": round(statistics.median(used), 3)}
    print(json.dumps({"conditions": conditions, **ready, **found}, indent=2))


if __name__ == "__main__":
    main()
