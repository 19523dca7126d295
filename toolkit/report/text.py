"""Text that any of the forms can hold: no control characters, no halves of surrogate pairs."""

import re

# What XML 1.0 has no place for (https://www.w3.org/TR/xml/#charsets), and C1 controls, which no page shows.
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """Return the text with U+FFFD for each character that a report cannot hold."""
    return _IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


def shortened(text: str, length: int) -> str:
    """Return at most ``length`` characters, the last of them an ellipsis where something was left out."""
    return text if len(text) <= length else text[: length - 1] + "…"
