"""Calibration texts that a search keeps for itself: nothing is calibrated on them, and layers are chosen by them."""

from collections.abc import Sequence

from toolkit.runtime.tokenization import Encoded

PART, MOST_TEXTS, MOST_TOKENS = 8, 48, 4096
LEAST_TEXTS = 16
"""Of a set that is smaller than that every text serves for both."""


def hold_out(texts: Sequence[Encoded]) -> tuple[list[Encoded], list[Encoded]]:
    """Return the texts to calibrate on and those held out: evenly spread, an eighth of the set at most."""
    if len(texts) < LEAST_TEXTS:
        return list(texts), list(texts)
    tokens = sum(len(text.ids) for text in texts) / len(texts)
    count = max(1, min(len(texts) // PART, MOST_TEXTS, int(MOST_TOKENS / tokens)))
    places = {number * len(texts) // count for number in range(count)}
    return [text for place, text in enumerate(texts) if place not in places], [texts[place] for place in sorted(places)]
