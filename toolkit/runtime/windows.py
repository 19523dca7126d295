"""Texts longer than the model reads: overlapping windows of their tokens, and one result from all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from toolkit.runtime.arrays import FloatArray, float_bytes, floats
from toolkit.runtime.errors import UsageError
from toolkit.runtime.tokenization import Encoded, Special, joined

Combine = Literal["mean", "max"]


@dataclass(frozen=True)
class Windows:
    """How a long text is cut, and how its windows' results become one. A text that fits is read as without windows.

    A window has as many tokens as the model reads. ``overlap`` is how many of the text's tokens it shares with the
    window before, a quarter of what it has room for by default; transformers calls this stride. ``combine`` is for
    labels: ``mean``, each window weighted by its tokens, or ``max``. UsageError for values that cannot be.
    """

    overlap: int | None = None
    combine: Combine = "mean"

    def __post_init__(self) -> None:
        if self.overlap is not None and self.overlap < 0:
            raise UsageError("the overlap of windows is too small", got=self.overlap, expected="at least 0")
        if self.combine not in get_args(Combine):
            expected = " or ".join(get_args(Combine))
            raise UsageError("windows cannot be combined so", got=self.combine, expected=expected)

    def overlap_in(self, room: int) -> int:
        """Return the overlap of windows that hold ``room`` of a text's own tokens; UsageError if none would be new."""
        overlap = room // 4 if self.overlap is None else self.overlap
        if overlap >= room:
            expected = f"at most {room - 1}: a window holds {room} of a text's tokens"
            raise UsageError("the overlap of windows is too large", got=overlap, expected=expected)
        return overlap


@dataclass(frozen=True)
class Pieces:
    """One text in windows: its tokens, and the places of those that each window holds and of those it answers for."""

    whole: Encoded
    special: Special
    held: list[tuple[int, int]]
    owned: list[tuple[int, int]]

    @property
    def windows(self) -> list[Encoded]:
        """Return each window's tokens between the text's special ones; the first is the text as it would be cut."""
        if len(self.held) == 1:
            return [self.whole]
        before, own = self.special.before, len(self.whole.ids) - self.special.after
        start, end = self.whole.part(0, before), self.whole.part(own, len(self.whole.ids))
        return [joined([start, self.whole.part(before + a, before + b), end]) for a, b in self.held]

    @property
    def weights(self) -> list[int]:
        """Return how many of the text's own tokens each window holds."""
        return [end - start for start, end in self.held]

    def rows(self, outputs: Sequence[FloatArray]) -> FloatArray:
        """Return a row for each token of the whole text, from the window that answers for it.

        ``outputs`` are those of the windows, float32 ``[tokens, dimension]`` each. Special tokens have the rows of the
        first window's start and the last window's end.
        """
        if len(outputs) == 1:
            return outputs[0]
        before, after = self.special.before, self.special.after
        parts = [outputs[0][:before]]
        for output, (start, _), (first, end) in zip(outputs, self.held, self.owned, strict=True):
            parts.append(output[before + first - start : before + end - start])
        parts.append(outputs[-1][len(outputs[-1]) - after :])
        data = bytearray().join(float_bytes(part) for part in parts)
        return floats(data, (sum(map(len, parts)), outputs[0].shape[1]))


def pieces(whole: Encoded, special: Special, room: int, overlap: int) -> Pieces:
    """Return the windows of a text, each of ``room`` of its own tokens at most."""
    count = len(whole.ids) - special.before - special.after
    held = places(count, room, overlap)
    return Pieces(whole, special, held, owners(held, overlap))


def places(count: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """Return where each window starts and ends among ``count`` tokens.

    All hold ``room`` tokens but the last, which has what is left and ends with the text.
    """
    found = [(0, min(room, count))]
    while found[-1][1] < count:
        start = found[-1][0] + room - overlap
        found.append((start, min(start + room, count)))
    return found


def owners(held: Sequence[tuple[int, int]], overlap: int) -> list[tuple[int, int]]:
    """Return which tokens each window answers for: two windows part in the middle of what they share.

    So each token is judged once, by a window that holds its neighbours on both sides.
    """
    return list(pairwise([0, *(start + overlap // 2 for start, _ in held[1:]), held[-1][1]]))
