"""Texts whose outputs travel in every bundle, so that a device can prove that it computes what was built."""

from dataclasses import replace

from toolkit.runtime.manifest import Golden, Task
from toolkit.runtime.model import TextModel

_PARAGRAPH = (
    "The small board sits behind the counter and reads every message that comes in during the day. Most of them are "
    "questions about opening hours, some are complaints, and a few are simply thanks. Each is turned into numbers, "
    "compared with what was asked before, and passed on to somebody who can help. Nothing leaves the building, "
    "nothing is fetched from anywhere, and when the power comes back after a cut it starts again by itself."
)
TEXTS = (
    "A short sentence.",
    "The parcel arrived two days late, but the driver was very kind about it.",
    "Why does the fan spin up whenever I open a second window?",
    "WARNING: 3 of 12 sensors did not answer within 250 ms (retry=5)!",
    "Der Zug nach München fährt heute von Gleis 9 ab.",
    "I love this so much 😍 best thing that happened all week",
    "x",
    _PARAGRAPH,
)
DIGITS = 6
MIN_COSINE = 0.995
"""Between VNNI and Arm, both right, the worst golden text of MiniLM has .9981: see MAX_DIFFERENCE for why."""

MAX_DIFFERENCE: dict[Task, float] = {
    "embedding": 0.02,
    "classification": 0.5,
    "reranking": 0.5,
    "token-classification": 0.5,
}
"""Integer sums are the same on every CPU; float steps between differ in the last bit and may move a rounding. One
moved rounding moves others: changing LayerNorm's weights by one unit in the last place moves a sentence as far."""


def golden_vectors(model: TextModel, task: Task) -> Golden:
    """Return the golden texts, for a reranker each with the next one as its pair, and what the int8 model gives."""
    pairs = (*TEXTS[1:], TEXTS[0]) if task == "reranking" else ()
    golden = Golden(TEXTS, pairs, (), MIN_COSINE, MAX_DIFFERENCE[task])
    rows = model.flat(golden.inputs, by_token=task == "token-classification")
    outputs = tuple(tuple(round(float(number), DIGITS) for number in row) for row in rows)
    return replace(golden, outputs=outputs)
