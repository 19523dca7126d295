"""From tokens that come one by one to text that may be shown: whole characters, and nothing of a stop string."""

from collections.abc import Callable, Sequence

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a decoder gives for bytes that are no whole character, yet or ever."""


class Pieces:
    """The text that each token adds, in whole characters: one may come in several tokens.

    What was shown last is decoded again with each token, at first the prompt: it decides about the space between.
    """

    def __init__(self, decode: Callable[[list[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._ids = list(prompt)
        self._read = len(self._ids)

    def add(self, token: int) -> str:
        """Return what is whole now; empty while a character's bytes are still to come."""
        self._ids.append(token)
        text = self._new()
        if not text or text.endswith(_UNFINISHED):
            return ""
        self._ids = self._ids[self._read :]
        self._read = len(self._ids)
        return text

    def rest(self) -> str:
        """Return what is left at the end, characters that never became whole included."""
        return self._new()

    def _new(self) -> str:
        return self._decode(self._ids)[len(self._decode(self._ids[: self._read])) :]


class Stops:
    """Lets text through up to the first of the stop strings, wherever pieces are cut; ``found`` when it came."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.found = False
        self._stops = stops
        self._held = ""

    def add(self, text: str) -> str:
        """Return what can be no part of a stop string any more."""
        if self.found:
            return ""
        self._held += text
        places = [place for place in map(self._held.find, self._stops) if place >= 0]
        if places:
            self.found = True
            shown, self._held = self._held[: min(places)], ""
            return shown
        kept = max((self._overlap(stop) for stop in self._stops), default=0)
        shown = self._held[: len(self._held) - kept]
        self._held = self._held[len(shown) :]
        return shown

    def rest(self) -> str:
        """Return what was held back, where the text ends without a stop string."""
        shown, self._held = self._held, ""
        return shown

    def _overlap(self, stop: str) -> int:
        """Return how many characters at the end are the start of a stop string."""
        longest = min(len(self._held), len(stop) - 1)
        return next((size for size in range(longest, 0, -1) if self._held.endswith(stop[:size])), 0)
