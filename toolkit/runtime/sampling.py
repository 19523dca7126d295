"""How the next token is chosen, and where a text ends."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.runtime.errors import UsageError

MAX_STOPS = 16
_SEEDS = 2**31


@dataclass(frozen=True)
class Sampling:
    """What a text may be; the same for the same seed, and for temperature 0 without one.

    ``max_tokens`` None leaves as much as the context has room for, ``temperature`` 0 takes the likeliest token,
    ``top_p`` 1 and ``top_k`` 0 leave all tokens in. The text ends before the first of the strings in ``stop``.
    UsageError for a value that cannot be.
    """

    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = next((one for one in self._ranges() if not one[2]), None)
        if wrong is not None:
            name, got, _, expected = wrong
            raise UsageError(f"{name} is out of range", got=got, expected=expected)

    def _ranges(self) -> Sequence[tuple[str, object, bool, str]]:
        """Return name, value, whether it is in order, and what would be."""
        stops = len(self.stop) <= MAX_STOPS and all(self.stop)
        return (
            ("max_tokens", self.max_tokens, self.max_tokens is None or self.max_tokens >= 1, "at least 1"),
            ("temperature", self.temperature, 0 <= self.temperature <= 2, "from 0 to 2"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "above 0, at most 1"),
            ("top_k", self.top_k, self.top_k >= 0, "at least 0, which leaves all in"),
            ("seed", self.seed, self.seed is None or 0 <= self.seed < _SEEDS, f"from 0 to {_SEEDS - 1}"),
            ("stop", list(self.stop), stops, f"at most {MAX_STOPS} strings, none of them empty"),
        )

    def options(self, vocabulary: int) -> dict[str, bool | float]:
        """Return this in the words of onnxruntime-genai."""
        if self.temperature == 0:
            return {"do_sample": False}
        # Without top_k its top_p lets in too many tokens (0.17.1): all of them are named instead.
        chosen = {"temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k or vocabulary}
        return {"do_sample": True, "random_seed": -1 if self.seed is None else self.seed, **chosen}
