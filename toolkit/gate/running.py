"""Both models run by the code that ships in the runtime."""

from collections.abc import Sequence

import numpy as np

from toolkit.gate.task import Outputs
from toolkit.metrics import Float, Ints
from toolkit.progress import Track, silent
from toolkit.runtime.model import TextModel
from toolkit.runtime.tokenization import Text, TextTokenizer

CHUNK = 256


def run(model: TextModel, texts: Sequence[Text], what: str, track: Track = silent) -> Float:
    """Return the model's raw outputs [texts, dimension], finite or not."""
    starts = range(0, len(texts), CHUNK)
    parts = [model.raw(texts[start : start + CHUNK]) for start in track(starts, what, len(starts))]
    return np.concatenate(parts)


def outputs_for(models: tuple[TextModel, TextModel], texts: Sequence[Text], track: Track = silent) -> Outputs:
    """Return what fp32 and int8 give for the texts."""
    return run(models[0], texts, "evaluate fp32", track), run(models[1], texts, "evaluate int8", track)


def lengths_of(tokenizer: TextTokenizer, texts: Sequence[Text]) -> Ints:
    """Return how many tokens the models read of each text [texts], special ones included."""
    return np.array([len(encoded.ids) for encoded in tokenizer.encode(texts)], np.int64)
