"""Texts whose outputs travel in every bundle, so that a device can prove that it computes what was built."""

import numpy as np

from toolkit.metrics import Float
from toolkit.runtime.manifest import Golden, Task

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
MIN_COSINE = 0.999
MAX_DIFFERENCE = {"embedding": 0.02, "classification": 0.5}
"""Integer sums are the same on every CPU; float steps between differ in the last bit and may move a rounding."""


def golden_vectors(outputs: Float, task: Task) -> Golden:
    """Return the golden vectors of outputs [len(TEXTS), dimension] of the int8 model."""
    rounded = tuple(tuple(round(float(number), DIGITS) for number in row) for row in np.asarray(outputs))
    return Golden(TEXTS, rounded, MIN_COSINE, MAX_DIFFERENCE[task])
