"""Limits of the gate by task: what a recipe or a file of limits may bound."""

from pydantic import model_validator

from toolkit.strict import StrictModel


class Bounds(StrictModel):
    """Bounds of a metric of the int8 model, or of a metric that compares the two models."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounds_something(self) -> "Bounds":
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"a limit needs at least one of {', '.join(type(self).model_fields)}")
        return self


class Limit(Bounds):
    """Bounds of a metric that both models have: on the int8 value, on its distance to fp32, and on their ratio."""

    max_drop: float | None = None  # fp32 - int8
    min_ratio: float | None = None  # int8 / fp32


class EmbeddingLimits(StrictModel):
    """Limits for sentence embeddings; every metric is optional."""

    spearman: Limit | None = None
    cosine_mean: Bounds | None = None
    cosine_p1: Bounds | None = None
    cosine_min: Bounds | None = None
    sqnr_db: Bounds | None = None
    size_ratio: Bounds | None = None


class ClassificationLimits(StrictModel):
    """Limits for sentence classification; every metric is optional."""

    accuracy: Limit | None = None
    macro_f1: Limit | None = None
    label_flips: Bounds | None = None
    sqnr_db: Bounds | None = None
    size_ratio: Bounds | None = None


class RerankingLimits(StrictModel):
    """Limits for the scores of pairs of texts; every metric is optional."""

    spearman: Limit | None = None
    score_correlation: Bounds | None = None
    sqnr_db: Bounds | None = None
    size_ratio: Bounds | None = None


class TokenClassificationLimits(StrictModel):
    """Limits for the classification of words; every metric is optional."""

    entity_f1: Limit | None = None
    label_flips: Bounds | None = None
    sqnr_db: Bounds | None = None
    size_ratio: Bounds | None = None


class TensorsLimits(StrictModel):
    """Limits for models of arrays, each for every output that has the metric; all are optional."""

    accuracy: Limit | None = None
    label_flips: Bounds | None = None
    cosine_mean: Bounds | None = None
    cosine_p1: Bounds | None = None
    cosine_min: Bounds | None = None
    sqnr_db: Bounds | None = None
    size_ratio: Bounds | None = None


class TextGenerationLimits(StrictModel):
    """Limits for the prediction of the next token; every metric is optional."""

    perplexity: Bounds | None = None
    perplexity_ratio: Bounds | None = None
    next_token_agreement: Bounds | None = None
    size_ratio: Bounds | None = None


class TextGenerationGate(StrictModel):
    """The limits of a causal model, by the bits of most of its weights."""

    int4: TextGenerationLimits = TextGenerationLimits()
    int8: TextGenerationLimits = TextGenerationLimits()
