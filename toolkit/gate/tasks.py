"""The tasks that the gate can judge."""

from collections.abc import Mapping

from toolkit.gate import classification, embedding, reranking, text_generation, token_classification
from toolkit.gate.task import Judged, TaskGate
from toolkit.runtime.tokenization import Text
from toolkit.samples import Samples

TASKS: Mapping[str, TaskGate] = {
    "embedding": embedding,
    "classification": classification,
    "reranking": reranking,
    "token-classification": token_classification,
    "text-generation": text_generation,
}


def texts_of(model: Judged, samples: Samples) -> list[Text]:
    """Return what is run to judge a model on a set."""
    return TASKS[model.task].texts(samples)
