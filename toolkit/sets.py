"""The two sets of one model: which texts it is calibrated on, and which rows it is judged on."""

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.errors import DataError
from toolkit.gate import Judged, require_labels, require_tags
from toolkit.quantize import reads_pairs
from toolkit.samples import Samples, default_set, load_samples
from toolkit.sources.source import Source


@dataclass(frozen=True)
class DataSet:
    """A set as the user names it; None takes the one that is shipped for the task, its own columns, all its rows."""

    spec: str | None = None
    columns: Mapping[str, str] | None = None
    limit: int | None = None


def evaluation_set(wanted: DataSet, model: Judged) -> Samples:
    """Return the evaluation set; DataError where its labels or columns are not what the model needs."""
    samples = load_samples(wanted.spec or default_set(model.task), "evaluation", wanted.columns, wanted.limit)
    if wanted.spec is not None:
        require_labels(model, samples)
        require_tags(model, samples)
    if model.task == "reranking" and samples.pairs is None:
        hint = "name the column of the second text: --columns text=query,text2=passage,score=relevance"
        raise DataError("a reranker is judged on pairs of texts", where=samples.name, hint=hint)
    return samples


def calibration_set(wanted: DataSet, source: Source, evaluation: Samples) -> Samples:
    """Return the calibration set, in pairs where the model will read pairs."""
    pairs = reads_pairs(source, evaluation)
    spec = wanted.spec or default_set(source.task)
    return load_samples(spec, "calibration", wanted.columns, wanted.limit, pairs=pairs)
