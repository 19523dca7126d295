"""The server's life: models loaded, sockets opened, requests answered, and an orderly end on SIGTERM."""

import asyncio
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import cast

from toolkit.runtime.bundle import Bundle
from toolkit.runtime.generator import Generator
from toolkit.runtime.host import Host
from toolkit.runtime.server import bundles
from toolkit.runtime.server.application import Application
from toolkit.runtime.server.batching import Batcher
from toolkit.runtime.server.connection import Bodies, Connection
from toolkit.runtime.server.decoding import Decoder
from toolkit.runtime.server.endpoints import Served
from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.limits import Limits
from toolkit.runtime.server.log import log
from toolkit.runtime.server.metrics import Metrics

_GRACE = 0.1  # seconds in which connections, and then requests, that were on their way still come in
_BACKLOG = 128


@dataclass(frozen=True)
class Settings:
    """What is served, where and how; a ``unix`` socket's path stands for host and port.

    ``public_key`` (PEM) must have signed each bundle; ``notify`` is systemd's socket, told when ready and stopping.
    """

    bundles: tuple[Path, ...]
    address: str = "127.0.0.1"
    port: int = 8080
    unix: Path | None = None
    limits: Limits = field(default_factory=Limits)
    host: Host = field(default_factory=Host)
    token: bytes | None = None
    public_key: bytes | None = None
    notify: str | None = None


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return 0 when all that was accepted was answered, else 1."""
    return asyncio.run(_Server(settings).run())


class _Server:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.metrics = Metrics()
        self.bodies = Bodies(settings.limits.max_bodies)
        self.stop = asyncio.Event()
        self.open: dict[asyncio.Task[None], Connection] = {}

    async def run(self) -> int:
        started = monotonic()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: log("error", "failed", {"error": str(context["message"])}))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        self.application = Application(self._load(), self.limits, self.metrics, self.settings.token)
        listener = await self._listen()
        seconds = round(monotonic() - started, 3)
        log("info", "ready", {"address": _shown(listener), "models": len(self.application.models), "seconds": seconds})
        if _is_open(self.settings):
            log("warning", "open", {"what": "anybody who can reach this address may ask: no token is set"})
        self._notify("READY=1")
        await self.stop.wait()
        return await self._drain(listener)

    def _load(self) -> list[Served]:
        """Load what is chosen, after every file of all of it was checked."""
        chosen = bundles.choose(bundles.find_bundles(self.settings.bundles))
        for bundle in chosen:
            bundles.check(bundle, self.settings.public_key)
        served = []
        for bundle in chosen:
            manifest, worker = bundle.manifest, self._worker(bundle)
            self.metrics.add_model(manifest.name, manifest.task, manifest.target.name, partial(_depth, worker))
            served.append(Served(manifest, worker))
        return served

    def _worker(self, bundle: Bundle) -> Batcher | Decoder:
        name, loaded = bundle.manifest.name, bundles.load_limited(bundle, self.settings.host, self.limits)
        if isinstance(loaded, Generator):
            return Decoder(name, loaded, self.limits, partial(self.metrics.wrote, name))
        return Batcher(bundles.engine(name, loaded), self.limits, partial(self.metrics.ran, name))

    async def _listen(self) -> asyncio.Server:
        settings = self.settings
        if settings.unix is not None:
            return await asyncio.start_unix_server(self._connected, settings.unix, backlog=_BACKLOG)
        return await asyncio.start_server(self._connected, settings.address, settings.port, backlog=_BACKLOG)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection((reader, writer), self.application, self.limits, self.bodies)
        task = cast("asyncio.Task[None]", asyncio.current_task())
        if len(self.open) >= self.limits.max_connections:
            self.metrics.refused("too many connections")
            await connection.refuse(RequestError(503, "the server has too many connections", retry_after=1))
            return
        self.open[task] = connection
        self.metrics.connections = len(self.open)
        try:
            await connection.serve()
        finally:
            del self.open[task]
            self.metrics.connections = len(self.open)

    def _told_to_stop(self) -> None:
        if self.stop.is_set():
            log("warning", "stopped", {"unanswered": len(self.open)})
            raise SystemExit(1)
        self.stop.set()

    async def _drain(self, listener: asyncio.Server) -> int:
        """Take no more connections, answer what has come, and end."""
        log("info", "stopping", {"connections": len(self.open)})
        self._notify("STOPPING=1")
        self.application.draining = True
        await asyncio.sleep(_GRACE)
        listener.close()
        await asyncio.sleep(_GRACE)
        for task, connection in list(self.open.items()):
            if connection.idle:
                task.cancel()
        left = set(self.open)
        if left:
            _, left = await asyncio.wait(left, timeout=self.limits.drain_timeout)
        for model in self.application.models.values():
            model.worker.close()
        if self.settings.unix is not None:
            self.settings.unix.unlink(missing_ok=True)
        log("warning" if left else "info", "stopped", {"unanswered": len(left)})
        return 1 if left else 0

    def _notify(self, state: str) -> None:
        """Tell systemd, if it is there: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html."""
        name = self.settings.notify
        if name:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto(state.encode(), f"\0{name[1:]}" if name.startswith("@") else name)


def _is_open(settings: Settings) -> bool:
    """Tell whether others than this host's own processes may ask without a token."""
    loopback = settings.address == "localhost" or settings.address.startswith("127.") or settings.address == "::1"
    return settings.token is None and settings.unix is None and not loopback


def _depth(worker: Batcher | Decoder) -> int:
    return worker.depth


def _shown(listener: asyncio.Server) -> str:
    name = listener.sockets[0].getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"
