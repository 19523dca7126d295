"""Token ids as the graph's inputs, without padding: sentences of different lengths are never in one batch."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Feed = Mapping[str, Ints]


def unpadded_feed(ids: Ints, inputs: Iterable[str]) -> Feed:
    """Return ids [batch, length] as those ``inputs`` that a graph has, each int64 [batch, length]."""
    known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return {name: known[name] for name in inputs}


def equal_length_feeds(token_ids: Sequence[Sequence[int]], inputs: Sequence[str], max_tokens: int = 2048) -> list[Feed]:
    """Return feeds of sentences of equal length, at most ``max_tokens`` each unless one sentence alone is more."""
    groups: dict[int, list[Sequence[int]]] = {}
    for ids in token_ids:
        groups.setdefault(len(ids), []).append(ids)
    feeds: list[Feed] = []
    for length, rows in sorted(groups.items()):
        batch = max(1, max_tokens // length)
        batches = (rows[start : start + batch] for start in range(0, len(rows), batch))
        feeds.extend(unpadded_feed(np.array(part, np.int64), inputs) for part in batches)
    return feeds
