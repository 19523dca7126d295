"""A request as it was read, and an answer as it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass

JSON = "application/json"


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
