"""The tasks that the gate can judge."""

from collections.abc import Mapping

from toolkit.gate import classification, embedding
from toolkit.gate.task import Judged, TaskGate
from toolkit.runtime.tokenization import Text
from toolkit.samples import Samples

TASKS: Mapping[str, TaskGate] = {"embedding": embedding, "classification": classification}


def texts_of(model: Judged, samples: Samples) -> list[Text]:
    """Return what is run to judge a model on a set."""
    return TASKS[model.task].texts(samples)
