"""One connection: h11 reads and writes HTTP/1.1, this keeps the clock and the sizes."""

import asyncio
import os
import re
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Protocol

import h11

from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.limits import MAX_HEAD, Limits
from toolkit.runtime.server.messages import EVENTS, Gone, Head, Response, Stream

_CHUNK = 64 << 10
_LINGER = 2.0  # seconds in which a client that is still sending can find out that it was refused
_MOST_CHUNKS = 4096  # of a byte each they would cost more than the model
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Application(Protocol):
    """What a connection asks of what stands behind it."""

    draining: bool

    def check(self, head: Head) -> None:
        """Raise the RequestError of a request that is refused before its body is read."""
        ...

    async def answer(self, head: Head, body: bytes, gone: Gone) -> Response | Stream:
        """Return the answer; whatever goes wrong is one too. ConnectionError where the client has gone before."""
        ...

    def sent(self, head: Head | None, response: Response | Stream, seconds: float) -> None:
        """Hear of an answer; no head where none could be read."""
        ...


class Bodies:
    """The bytes of all bodies that are held at one time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def take(self, count: int) -> int:
        """Take room for bytes more and return their number; RequestError 429 where there is none."""
        if self.held + count > self.most:
            raise RequestError(429, "the server is busy: try again later", code="rate_limit_exceeded", retry_after=1)
        self.held += count
        return count


class Connection:
    """Reads requests and sends answers, one after the other, until either side has had enough."""

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        application: Application,
        limits: Limits,
        bodies: Bodies,
    ) -> None:
        self.reader, self.writer = streams
        self.writer.transport.set_write_buffer_limits(0)  # drain() then means that the kernel has all of it
        self.application = application
        self.limits = limits
        self.bodies = bodies
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self.idle = True
        """Nothing of a request has come yet."""
        self._held = 0

    async def serve(self) -> None:
        """Serve until the end of the connection, and close it."""
        try:
            while await self._exchange():
                self.http.start_next_cycle()
                await asyncio.sleep(0)  # others first: many requests may have come in one go
        except OSError:  # the client has gone, or does not take its answer: nobody is left to tell
            self.writer.transport.abort()
        finally:
            self.writer.close()

    async def refuse(self, error: RequestError) -> None:
        """Answer with an error whatever is asked, and close."""
        with suppress(OSError):
            await self._send(None, error.response())
            await self._linger()
        self.writer.close()

    async def _exchange(self) -> bool:
        """Answer one request; False when the connection is to be closed."""
        head, started = None, time.monotonic()
        response: Response | Stream
        try:
            head = await self._head()
            if head is None:
                return False
            started = time.monotonic()
            self.application.check(head)
            response = await self.application.answer(head, await self._body(head), self._gone)
        except RequestError as error:
            response = error.response()
        except h11.RemoteProtocolError as error:
            response = RequestError(error.error_status_hint, "the request is not HTTP/1.1 that can be read").response()
        finally:
            self.bodies.held -= self._held
            self._held = 0
        if isinstance(response, Stream):
            await self._send_events(head, response)
        else:
            await self._send(head, response)
        self.application.sent(head, response, time.monotonic() - started)
        if self.http.their_state in (h11.SEND_BODY, h11.ERROR):
            await self._linger()
        self.idle = True
        return self.http.our_state is h11.DONE and self.http.their_state is h11.DONE

    async def _head(self) -> Head | None:
        """Return the next request's head; None where the client or the clock ended the connection between two."""
        try:
            async with asyncio.timeout(self.limits.idle_timeout) as clock:
                while (event := self.http.next_event()) is h11.NEED_DATA:
                    data = await self.reader.read(_CHUNK)
                    if data and self.idle:
                        self.idle = False
                        clock.reschedule(asyncio.get_running_loop().time() + self.limits.read_timeout)
                    self.http.receive_data(data)
        except TimeoutError:
            if self.idle:
                return None
            raise RequestError(408, f"the request's head took more than {self.limits.read_timeout:g} seconds") from None
        self.idle = False
        return _read_head(event) if isinstance(event, h11.Request) else None

    async def _body(self, head: Head) -> bytes:
        """Return the request's body, read to its end."""
        self._check_size(int(head.headers.get("content-length", "0")))
        body, chunks = bytearray(), 0
        try:
            async with asyncio.timeout(self.limits.read_timeout):
                if self.http.they_are_waiting_for_100_continue:
                    await self._write(h11.InformationalResponse(status_code=100, headers=[]))
                while not isinstance(event := self.http.next_event(), h11.EndOfMessage):
                    if event is h11.NEED_DATA:
                        self.http.receive_data(await self.reader.read(_CHUNK))
                    elif isinstance(event, h11.Data):
                        self._held += self.bodies.take(len(event.data))
                        body += event.data
                        self._check_size(len(body))
                        chunks += event.chunk_start
                        if chunks > _MOST_CHUNKS:
                            raise RequestError(400, f"the body comes in more than {_MOST_CHUNKS} chunks")
        except TimeoutError:
            what = f"the request's body took more than {self.limits.read_timeout:g} seconds"
            raise RequestError(408, what) from None
        return bytes(body)

    def _check_size(self, size: int) -> None:
        if size > self.limits.max_body:
            raise RequestError(413, f"the body is too large: at most {self.limits.max_body} bytes are taken")

    async def _send(self, head: Head | None, response: Response) -> None:
        headers = [("Content-Type", response.content_type), ("Content-Length", str(response.size)), *response.headers]
        body = [] if head and head.method == "HEAD" else [h11.Data(data=response.body)]
        await self._write_soon(self._start(head, response.status, headers), *body, h11.EndOfMessage())

    async def _send_events(self, head: Head | None, stream: Stream) -> None:
        """Send each event as soon as it is there; h11 frames a body of unknown length."""
        headers = [("Content-Type", EVENTS), ("Cache-Control", "no-store")]
        try:
            await self._write_soon(self._start(head, stream.status, headers))
            async for event in stream.events:
                stream.size += len(event)
                await self._write_soon(h11.Data(data=event))
            await self._write_soon(h11.EndOfMessage())
        finally:
            await stream.close()

    def _start(self, head: Head | None, status: int, headers: list[tuple[str, str]]) -> h11.Response:
        common = [
            ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
            ("X-Request-ID", head.id if head else _new_id()),
        ]
        if self.application.draining or self.http.their_state is not h11.DONE:
            common.append(("Connection", "close"))
        reason = HTTPStatus(status).phrase.encode()
        return h11.Response(status_code=status, headers=[*common, *headers], reason=reason)

    async def _gone(self) -> None:
        """Wait until the client has closed its side; the start of a next request, sent before its time, is kept."""
        with suppress(OSError):
            while len(self.http.trailing_data[0]) <= MAX_HEAD:
                data = await self.reader.read(_CHUNK)
                if not data:
                    return
                self.http.receive_data(data)
            await asyncio.Event().wait()  # it sends and sends: it is there

    async def _write_soon(self, *events: h11.Event) -> None:
        async with asyncio.timeout(self.limits.read_timeout):
            await self._write(*events)

    async def _write(self, *events: h11.Event) -> None:
        self.writer.write(b"".join(self.http.send(event) or b"" for event in events))
        await self.writer.drain()

    async def _linger(self) -> None:
        """Read on for a moment: closed at once, the client's kernel would throw the answer away with the connection."""
        self.writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while await self.reader.read(_CHUNK):
                    pass


def _read_head(request: h11.Request) -> Head:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    asked = headers.get("x-request-id", "")
    path = request.target.decode("latin-1").partition("?")[0]
    return Head(asked if _ID.fullmatch(asked) else _new_id(), request.method.decode("latin-1"), path, headers)


def _new_id() -> str:
    return os.urandom(8).hex()
