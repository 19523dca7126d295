"""A request as it was read, and an answer as it is sent."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

JSON = "application/json"
EVENTS = "text/event-stream"

Gone = Callable[[], Awaitable[None]]
"""Waits until the client has closed its side of the connection."""


@dataclass(frozen=True)
class Head:
    """A request without its body: ``headers`` by lower-case name, ``path`` without the query."""

    id: str
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Response:
    """Status, body and what headers go beside length, date and request id."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    texts: int = 0
    """Texts that were answered, for the log."""
    tokens: int = 0
    """Tokens that were run, for the log."""

    @property
    def size(self) -> int:
        """The body's bytes."""
        return len(self.body)


@dataclass
class Stream:
    """An answer that is sent while it is made, as server-sent events; ``close`` is called whatever happens.

    ``count`` tells the tokens that were run until now, ``size`` the bytes of the events that were sent.
    """

    events: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]
    count: Callable[[], int]
    size: int = 0
    status: int = 200
    texts: int = 1

    @property
    def tokens(self) -> int:
        """Tokens that were run, for the log."""
        return self.count()
