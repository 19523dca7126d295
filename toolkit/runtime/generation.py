"""A text on its way: tokens become pieces that may be shown, until one of several ends."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from toolkit.runtime.streaming import Pieces, Stops

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Completion:
    """A text that was generated; ``finish_reason`` is stop at its own end or at a stop string, else length."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: Finish


@dataclass(frozen=True)
class Bounds:
    """Where a text ends: after ``tokens`` of them, at a token of ``ends``, or before one of the strings ``stops``."""

    tokens: int
    ends: frozenset[int]
    stops: Sequence[str]


class Generation:
    """Iterate over it for the pieces of text, none of them empty, or take one ``step`` after the other.

    ``tokens`` are the ids that follow ``prompt``, one computed at a time; ``close`` ends it before its end.
    """

    def __init__(
        self, prompt: Sequence[int], tokens: Generator[int], decode: Callable[[list[int]], str], bounds: Bounds
    ) -> None:
        self.prompt_tokens = len(prompt)
        self.completion_tokens = 0
        self.finish_reason: Finish | None = None
        """None while there is more to come."""
        self._tokens, self._bounds = tokens, bounds
        self._pieces, self._stops = Pieces(decode, prompt), Stops(bounds.stops)

    def step(self) -> str:
        """Compute one token and return the text that is shown for it, empty where it has to wait for others."""
        token = next(self._tokens)
        self.completion_tokens += 1
        ended = token in self._bounds.ends
        text = "" if ended else self._stops.add(self._pieces.add(token))
        if not (ended or self._stops.found or self.completion_tokens == self._bounds.tokens):
            return text
        text += self._stops.add(self._pieces.rest()) + self._stops.rest()
        self.finish_reason = "stop" if ended or self._stops.found else "length"
        self.close()
        return text

    def close(self) -> None:
        """Free what the text's tokens are computed from; there are no more of them."""
        self._tokens.close()

    def __iter__(self) -> Iterator[str]:
        while self.finish_reason is None:
            if text := self.step():
                yield text

    def complete(self) -> Completion:
        """Return what is left of the text, all of it where nothing was read before."""
        text = "".join(self)
        return Completion(text, self.prompt_tokens, self.completion_tokens, self.finish_reason or "stop")
