"""Token ids as the graph's inputs, without padding: sentences of different lengths are never in one batch."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from toolkit.runtime.tokenization import Encoded

Ints = npt.NDArray[np.int64]
Feed = Mapping[str, Ints]


def unpadded_feed(ids: Ints, inputs: Iterable[str], types: Ints | None = None) -> Feed:
    """Return ids [batch, length] as those ``inputs`` that a graph has, each int64 [batch, length]; no types: all 0."""
    known = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    known["token_type_ids"] = np.zeros_like(ids) if types is None else types
    return {name: known[name] for name in inputs}


def equal_length_feeds(texts: Sequence[Encoded], inputs: Sequence[str], max_tokens: int = 256) -> list[Feed]:
    """Return feeds of sentences of equal length, at most ``max_tokens`` each unless one sentence alone is more."""
    groups: dict[int, list[Encoded]] = {}
    for text in texts:
        groups.setdefault(len(text.ids), []).append(text)
    feeds: list[Feed] = []
    for length, rows in sorted(groups.items()):
        batch = max(1, max_tokens // length)
        batches = (rows[start : start + batch] for start in range(0, len(rows), batch))
        feeds.extend(_feed(part, inputs) for part in batches)
    return feeds


def _feed(texts: Sequence[Encoded], inputs: Sequence[str]) -> Feed:
    ids, types = (np.array(rows, np.int64) for rows in zip(*((text.ids, text.type_ids) for text in texts), strict=True))
    return unpadded_feed(ids, inputs, types)
