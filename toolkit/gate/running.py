"""Both models run by the code that ships in the runtime."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.gate import token_classification
from toolkit.gate.task import Judged, Outputs
from toolkit.gate.tasks import texts_of
from toolkit.metrics import Float, Ints
from toolkit.progress import Track, silent
from toolkit.runtime.model import TextModel
from toolkit.runtime.tokenization import Text, TextTokenizer
from toolkit.samples import Samples

CHUNK = 256


@dataclass(frozen=True)
class Reading:
    """The texts that a task runs, and in which form it takes the outputs: one row a text, or one a word of it."""

    texts: Sequence[Text]
    by_word: bool = False


def run(model: TextModel, reading: Reading, what: str, track: Track = silent) -> Float:
    """Return the model's raw outputs, finite or not: [texts, dimension] or [texts, words, dimension]."""
    chunks = [reading.texts[start : start + CHUNK] for start in range(0, len(reading.texts), CHUNK)]
    read = _words if reading.by_word else TextModel.raw
    parts = [read(model, chunk) for chunk in track(chunks, what, len(chunks))]
    longest = max(part.shape[1] for part in parts)
    if reading.by_word:  # no text has more words than its chunk's longest
        parts = [np.pad(part, ((0, 0), (0, longest - part.shape[1]), (0, 0))) for part in parts]
    return np.concatenate(parts)


def outputs_for(models: tuple[TextModel, TextModel], reading: Reading, track: Track = silent) -> Outputs:
    """Return what fp32 and int8 give for the texts."""
    return run(models[0], reading, "evaluate fp32", track), run(models[1], reading, "evaluate int8", track)


def reading_of(model: Judged, samples: Samples) -> Reading:
    """Return what is run to judge a model on a set."""
    return Reading(texts_of(model, samples), model.task == "token-classification")


def _words(model: TextModel, texts: Sequence[Text]) -> Float:
    return token_classification.by_word(texts, *model.raw_tokens(texts))


def lengths_of(tokenizer: TextTokenizer, texts: Sequence[Text]) -> Ints:
    """Return how many tokens the models read of each text [texts], special ones included."""
    return np.array([len(encoded.ids) for encoded in tokenizer.encode(texts)], np.int64)
