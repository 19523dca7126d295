"""Prompts whose continuations travel in a bundle, so that a device can prove that it says what was built."""

from collections.abc import Sequence

import numpy as np

from toolkit.errors import NumericsError
from toolkit.runtime.generator import Generator
from toolkit.runtime.manifest import Golden

PROMPTS = (
    "Once upon a time",
    "The parcel arrived two days late, but",
    "One day, a little girl named Lily",
    "The capital of France is",
    "def main():",
)
TOKENS = 16
MARGIN = 0.5
"""By how much a golden token's logit leads: kernels of other CPUs round otherwise, and may turn a nearer race."""


def golden_continuations(model: Generator) -> Golden:
    """Return prompts with the likeliest tokens after each, as far as every one of them leads clearly.

    Where no prompt has such a token, nearer races are taken.
    """
    found = [(prompt, ids, _leads(model, prompt, ids)) for prompt, ids in _continued(model)]
    margin = MARGIN
    while True:
        kept = [(prompt, ids[: _clear(leads, margin)]) for prompt, ids, leads in found]
        kept = [(prompt, ids) for prompt, ids in kept if ids]
        if kept or margin < 1e-6:
            break
        margin /= 2
    if not kept:
        raise NumericsError("the quantized model prefers no token to others", hint="give another model")
    texts, outputs = zip(*((prompt, tuple(map(float, ids))) for prompt, ids in kept), strict=True)
    return Golden(texts, (), outputs, min_cosine=1, max_difference=0)


def _continued(model: Generator) -> list[tuple[str, list[int]]]:
    """Return the prompts that the context has room for, and what follows them."""
    fitting = [prompt for prompt in PROMPTS if len(model.encode(prompt)) + TOKENS < model.context]
    return [(prompt, model.greedy_ids(prompt, TOKENS)) for prompt in fitting if model.encode(prompt)]


def _leads(model: Generator, prompt: str, ids: Sequence[int]) -> list[float]:
    """Return by how much each token's logit leads over the second."""
    before = model.encode(prompt)
    logits = np.sort(model.logits([*before, *ids])[len(before) - 1 : -1], axis=1)
    return (logits[:, -1] - logits[:, -2]).tolist()  # type: ignore[no-any-return]


def _clear(leads: Sequence[float], margin: float) -> int:
    """Return how many tokens lead clearly before the first that does not."""
    return next((at for at, lead in enumerate(leads) if not lead >= margin), len(leads))
