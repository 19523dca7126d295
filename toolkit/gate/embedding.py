"""Sentence embeddings: how close int8's vectors are to fp32's, and how well both order scored pairs."""

from functools import partial

import numpy as np

from toolkit import statistics
from toolkit.gate import ranking
from toolkit.gate.task import Judged, Measured, Outputs, Told
from toolkit.metrics import Float, Ints
from toolkit.runtime.similarity import cosines
from toolkit.runtime.tokenization import Text
from toolkit.samples import Samples
from toolkit.statistics import Doubles


def texts(samples: Samples) -> list[Text]:
    """Return each different text once."""
    return list(dict.fromkeys([*samples.texts, *(samples.pairs or ())]))


def places(samples: Samples) -> Ints:
    """Return the index of each row's text, and of its second where there is one: [rows, 1 or 2]."""
    row = {text: index for index, text in enumerate(texts(samples))}
    columns = [samples.texts] if samples.pairs is None else [samples.texts, samples.pairs]
    return np.array([[row[text] for text in column] for column in columns], np.int64).T


def measure(model: Judged, samples: Samples, outputs: Outputs) -> list[Measured]:  # noqa: ARG001 - a TaskGate's
    """Return Spearman's correlation with the scores, and mean, 1st percentile and least of the cosines to fp32."""
    alike = cosines(*outputs)
    mean = partial(statistics.bootstrap, statistics.mean(alike), len(alike))
    p1 = partial(statistics.quantile, alike, 0.01, (-1, 1))
    return [
        _spearman(samples, outputs),
        Measured("cosine_mean", None, float(alike.mean()), value=mean, unit="texts"),
        Measured("cosine_p1", None, float(np.percentile(alike, 1)), value=p1, unit="texts"),
        Measured("cosine_min", None, float(alike.min())),
    ]


def told(model: Judged, samples: Samples, outputs: Outputs) -> Told:  # noqa: ARG001 - a TaskGate's
    """Compare the similarity of each pair; of single texts, the cosine of int8's vector to fp32's."""
    if samples.pairs is None:
        alike = cosines(*outputs)[places(samples)[:, 0]]
        same = np.zeros(len(alike), bool)
        return Told(1 - alike, same, lambda row: ("cosine 1.0000", f"cosine {alike[row]:.4f}"))
    fp32, int8 = (similarities(samples, y) for y in outputs)
    apart = np.abs(fp32 - int8)
    words = "similarity {:.4f}".format
    return Told(apart, np.zeros(len(apart), bool), lambda row: (words(fp32[row]), words(int8[row])))


def alike(outputs: Outputs) -> Doubles:
    """Return the cosine of each text's vector to fp32's."""
    return cosines(*outputs)


def _spearman(samples: Samples, outputs: Outputs) -> Measured:
    if samples.pairs is None or samples.scores is None:
        return Measured("spearman", None, None, "the set has no scored pairs")
    fp32, int8 = (similarities(samples, y) for y in outputs)
    return ranking.spearman(fp32, int8, samples.scores, "similarities")


def similarities(samples: Samples, vectors: Float) -> Doubles:
    """Return the cosine of the two vectors of each pair; ``vectors`` is [texts, dimension]."""
    first, second = places(samples).T
    return cosines(vectors[first], vectors[second])
