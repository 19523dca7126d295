"""Prompts whose continuations travel in a bundle, so that a device can prove that it says what was built."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from tokenizers import Tokenizer

from toolkit.errors import NumericsError
from toolkit.runtime.generator import Generator
from toolkit.runtime.manifest import Golden
from toolkit.sources.causal import CausalSource

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


def golden_continuations(model: Generator, source: CausalSource) -> Golden:
    """Return prompts with the likeliest tokens after each, as far as every one of them leads clearly.

    Where no prompt has such a token, nearer races are taken.
    """
    found = [(prompt, ids, _leads(model, prompt, ids)) for prompt, ids in _continued(model, source)]
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


def _continued(model: Generator, source: CausalSource) -> Iterator[tuple[str, list[int]]]:
    """Yield prompts that the model can read, its own words where it knows none of ours, and what follows them."""
    prompts = [prompt for prompt in PROMPTS if _is_read(model, prompt, source.pad_id)]
    own = (word for word in _words(source) if _is_read(model, word, source.pad_id))
    for prompt in prompts or islice(own, len(PROMPTS)):
        yield prompt, model.greedy_ids(prompt, TOKENS)


def _is_read(model: Generator, prompt: str, pad_id: int) -> bool:
    """Tell whether the context has room, and onnxruntime-genai would mask nothing as padding but a first token."""
    tokens = model.encode(prompt)
    read = tokens[1:] if tokens[:1] == [pad_id] else tokens
    return bool(read) and pad_id not in read and len(tokens) + TOKENS < model.context


def _words(source: CausalSource) -> Iterator[str]:
    tokenizer = Tokenizer.from_str(source.tokenizer_json)
    size = tokenizer.get_vocab_size()
    yield from (tokenizer.decode([token]) for token in range(0, size, max(1, size // 50)))


def _leads(model: Generator, prompt: str, ids: Sequence[int]) -> list[float]:
    """Return by how much each token's logit leads over the second."""
    before = model.encode(prompt)
    logits = np.sort(model.logits([*before, *ids])[len(before) - 1 : -1], axis=1)
    return (logits[:, -1] - logits[:, -2]).tolist()  # type: ignore[no-any-return]


def _clear(leads: Sequence[float], margin: float) -> int:
    """Return how many tokens lead clearly before the first that does not."""
    return next((at for at, lead in enumerate(leads) if not lead >= margin), len(leads))
