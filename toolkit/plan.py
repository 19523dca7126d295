"""Planning: for every tensor that a recipe speaks of, its numbers, or why it stays float. Nothing is changed here.

Linear layers that share an input share its quantizer. Where the recipe allows smoothing, alpha is searched for each
input by the error at the layers' outputs on sampled tokens, and taken only where it pays for its extra Mul.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.errors import NumericsError
from toolkit.lower import Embedding, Linear, Lowered
from toolkit.numerics.activations import Affine, Float, affine_u8, dequantize_u8, quantize_u8
from toolkit.numerics.smooth import ALPHAS, smoothing_factors
from toolkit.numerics.sqnr import sqnr_db
from toolkit.numerics.weights import Weights, dequantize, quantize_columns
from toolkit.observe import Activation, Ranges
from toolkit.progress import Track, silent
from toolkit.targets import Quantization, Treatment


@dataclass(frozen=True, eq=False)
class Quantizer:
    """How one activation becomes u8: ``quantize(x * (1 / smooth))``."""

    affine: Affine
    smooth: Float | None  # [K]
    alpha: float | None


@dataclass(frozen=True)
class QuantizedLinear:
    """The numbers of one int8 linear layer."""

    quantizer: Quantizer
    weights: Weights
    bias: Float  # [N], corrected for the mean error of quantization


@dataclass(frozen=True)
class LinearPlan:
    """What happens to one linear layer; ``int8`` is None where it stays float."""

    linear: Linear
    treatment: Treatment
    int8: QuantizedLinear | None
    sqnr_db: float | None  # at the layer's output, on sampled calibration tokens


@dataclass(frozen=True)
class EmbeddingPlan:
    """What happens to one embedding table; ``rows`` is None where it stays float, else s8 with one scale per row."""

    embedding: Embedding
    treatment: Treatment
    rows: Weights | None  # values [rows, width], scale [rows]
    sqnr_db: float | None


@dataclass(frozen=True)
class QuantPlan:
    """Every decision, in the order of the graph."""

    linears: tuple[LinearPlan, ...]
    embeddings: tuple[EmbeddingPlan, ...]
    unquantized: tuple[str, ...]
    engine: str = "native"
    """Who decided: "native" is edgequant; of another engine, by name and version, nothing more is known here."""


def plan(lowered: Lowered, ranges: Ranges, rules: Quantization, track: Track = silent) -> QuantPlan:
    """Decide every tensor of a lowered graph by the recipe's rules and what was observed.

    Raises NumericsError for a layer whose product is not finite on what was observed.
    """
    families: dict[str, list[Linear]] = {}
    for linear in lowered.linears:
        families.setdefault(linear.input, []).append(linear)
    planned: dict[str, LinearPlan] = {}
    for name, family in track(families.items(), "plan int8 layers", len(families)):
        with np.errstate(over="ignore", invalid="ignore"):  # _plan_linear refuses what overflows, by name
            items = _plan_family(family, ranges.activations[name], rules)
        planned |= {item.linear.name: item for item in items}
    return QuantPlan(
        linears=tuple(planned[linear.name] for linear in lowered.linears),
        embeddings=tuple(_plan_embedding(embedding, rules) for embedding in lowered.embeddings),
        unquantized=lowered.unquantized,
    )


def _plan_family(family: list[Linear], seen: Activation, rules: Quantization) -> list[LinearPlan]:
    treatments = {linear.name: rules.decide("linear", linear.name, linear.weight.size) for linear in family}
    chosen = [linear for linear in family if treatments[linear.name].precision == "int8"]
    quantizer = _choose_quantizer(chosen, seen, treatments) if chosen else None
    return [
        _plan_linear(linear, treatments[linear.name], quantizer if linear in chosen else None, seen)
        for linear in family
    ]


def _choose_quantizer(family: list[Linear], seen: Activation, treatments: Mapping[str, Treatment]) -> Quantizer:
    """Return the plain quantizer, or the best smoothed one where that pays at the layers' outputs."""
    plain = _quantizer(family, seen, None)
    if any(treatments[linear.name].smoothing == "none" for linear in family):
        return plain

    def score(quantizer: Quantizer) -> float:
        outputs = [_simulate(linear, treatments[linear.name], quantizer, seen.sample) for linear in family]
        return sqnr_db(*(np.concatenate(parts, axis=None) for parts in zip(*outputs, strict=True)))

    smoothed = [_quantizer(family, seen, alpha) for alpha in ALPHAS]
    scores = [score(quantizer) for quantizer in smoothed]
    best = int(np.argmax(scores))
    return smoothed[best] if scores[best] >= score(plain) + _worthwhile_db(family) else plain


def _worthwhile_db(family: list[Linear]) -> float:
    """Return the gain in dB from which smoothing pays: its Mul over [tokens, K] costs more the smaller N is."""
    inner, columns = family[0].weight.shape[0], sum(linear.weight.shape[1] for linear in family)
    return 2.0 + 0.5 * float(inner / columns)


def _quantizer(family: list[Linear], seen: Activation, alpha: float | None) -> Quantizer:
    if alpha is None:
        return Quantizer(affine_u8(float(seen.minimum.min()), float(seen.maximum.max())), None, None)
    peak = np.maximum(np.abs(seen.minimum), np.abs(seen.maximum))
    weight_peak = np.max([np.abs(linear.weight).max(1) for linear in family], axis=0)
    smooth = smoothing_factors(peak, weight_peak, alpha)
    return Quantizer(
        affine_u8(float((seen.minimum / smooth).min()), float((seen.maximum / smooth).max())), smooth, alpha
    )


def _scaled_weight(linear: Linear, quantizer: Quantizer) -> Float:
    return linear.weight if quantizer.smooth is None else linear.weight * quantizer.smooth[:, None]


def _simulate(linear: Linear, treatment: Treatment, quantizer: Quantizer, rows: Float) -> tuple[Float, Float]:
    """Return the layer's product on sampled rows in float and in int8, both [rows, N] and without bias."""
    weights = quantize_columns(_scaled_weight(linear, quantizer), treatment.weight_range)
    return rows @ linear.weight, _product(rows, quantizer, weights)


def _product(rows: Float, quantizer: Quantizer, weights: Weights) -> Float:
    scaled = rows if quantizer.smooth is None else rows * np.reciprocal(quantizer.smooth)
    return dequantize_u8(quantize_u8(scaled, quantizer.affine), quantizer.affine) @ dequantize(weights)


def _plan_linear(linear: Linear, treatment: Treatment, quantizer: Quantizer | None, seen: Activation) -> LinearPlan:
    if quantizer is None:
        return LinearPlan(linear, treatment, None, None)
    weights = quantize_columns(_scaled_weight(linear, quantizer), treatment.weight_range)
    reference, measured = seen.sample @ linear.weight, _product(seen.sample, quantizer, weights)
    if not (np.isfinite(reference).all() and np.isfinite(measured).all()):
        raise NumericsError(
            "a layer's product is not finite on calibration data",
            where=linear.name,
            hint="the float model itself overflows: try another checkpoint or look at this layer's weights",
        )
    shift = (reference - measured).mean(0)
    bias = shift if linear.bias is None else linear.bias + shift
    return LinearPlan(
        linear=linear,
        treatment=treatment,
        int8=QuantizedLinear(quantizer, weights, np.ascontiguousarray(bias, np.float32)),
        sqnr_db=sqnr_db(reference, measured + shift),
    )


def _plan_embedding(embedding: Embedding, rules: Quantization) -> EmbeddingPlan:
    treatment = rules.decide("embedding", embedding.name, embedding.table.size)
    if treatment.precision == "float":
        return EmbeddingPlan(embedding, treatment, None, None)
    by_row = quantize_columns(np.ascontiguousarray(embedding.table.T), "full")
    rows = Weights(np.ascontiguousarray(by_row.values.T), by_row.scale)
    restored = rows.values.astype(np.float32) * rows.scale[:, None]
    return EmbeddingPlan(embedding, treatment, rows, sqnr_db(embedding.table, restored))
