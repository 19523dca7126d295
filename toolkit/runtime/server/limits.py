"""What one server takes on: sizes, counts and seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of a server; what is over them is refused, never cut."""

    max_batch: int = 32
    """Texts run together."""
    batch_tokens: int = 256
    """Rows times padded length of one run of the model: what its memory goes by. One longer text runs alone."""
    max_queue: int = 64
    """Requests of one model that run or wait; 429 beyond."""
    max_inputs: int = 256
    """Texts in one request."""
    max_characters: int = 65_536
    """Characters in one text: the tokenizer reads them all before it cuts."""
    max_tokens: int = 32_768
    """Tokens in one request, after texts are cut at the model's length."""
    max_body: int = 1 << 20
    """Bytes in one request's body."""
    max_connections: int = 256
    """Open connections; 503 beyond."""
    max_generations: int = 4
    """Texts of one model that are generated at the same time, in turns: each holds its context in memory."""
    timeout: float = 30.0
    """Seconds from a whole request to its answer."""
    generation_timeout: float = 300.0
    """Seconds from a whole request to the end of the text that is generated for it."""
    read_timeout: float = 10.0
    """Seconds for a request's head, again for its body, and for a client to take in an answer."""
    idle_timeout: float = 60.0
    """Seconds that a connection is kept open between two requests."""

    @property
    def max_bodies(self) -> int:
        """Bytes in the bodies of all requests at one time; 429 beyond."""
        return max(8 << 20, 2 * self.max_body)

    @property
    def drain_timeout(self) -> float:
        """Seconds within which all that was accepted is answered, or was refused."""
        return max(self.timeout, self.generation_timeout) + 3 * self.read_timeout


MAX_HEAD = 16 << 10
"""Bytes in a request's line and headers; 431 beyond."""
