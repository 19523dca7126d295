"""Planning: for every tensor that a recipe speaks of, its numbers, or why it stays float. Nothing is changed here.

Linear layers that share an input share its quantizer. Where the recipe allows it, the channels are smoothed, with alpha
searched, or those of widest range are left to a small product in float (arXiv 2208.07339, but chosen once for all):
whatever gives the least error at the layers' outputs on sampled tokens, if it pays for what it costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from toolkit.errors import NumericsError
from toolkit.lower import Embedding, Linear, Lowered
from toolkit.numerics.activations import Affine, Float, affine_u8, dequantize_u8, quantize_u8
from toolkit.numerics.rounding import compensate
from toolkit.numerics.smooth import ALPHAS, smoothing_factors
from toolkit.numerics.sqnr import sqnr_db
from toolkit.numerics.weights import Weights, dequantize, quantize_columns
from toolkit.observe import Activation, Ranges
from toolkit.progress import Track, silent
from toolkit.targets import Quantization, Treatment

OUTLIERS = (8, 16, 32)  # channels that may be left out of an int8 product, up to one in eight
_GAIN_DB, _NEAR_DB = 2.0, 0.5


@dataclass(frozen=True, eq=False)
class Quantizer:
    """How one activation becomes u8: ``quantize(x * (1 / smooth))``, but for outlier channels, which count as 0."""

    affine: Affine
    smooth: Float | None = None  # [K]
    alpha: float | None = None
    outliers: npt.NDArray[np.int64] | None = None  # [channels], ascending


@dataclass(frozen=True)
class QuantizedLinear:
    """The numbers of one int8 linear layer."""

    quantizer: Quantizer
    weights: Weights  # 0 for outlier channels
    bias: Float  # [N], corrected for the mean error of quantization
    apart: Float | None = None  # [channels, N]: the float weights of outlier channels


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
            items = _plan_family(family, ranges.activations[name], rules, name in lowered.sorted_inputs)
        planned |= {item.linear.name: item for item in items}
    return QuantPlan(
        linears=tuple(planned[linear.name] for linear in lowered.linears),
        embeddings=tuple(_plan_embedding(embedding, rules) for embedding in lowered.embeddings),
        unquantized=lowered.unquantized,
    )


def _plan_family(family: list[Linear], seen: Activation, rules: Quantization, is_sorted: bool) -> list[LinearPlan]:
    treatments = {linear.name: rules.decide("linear", linear.name, linear.weight.size) for linear in family}
    chosen = [linear for linear in family if treatments[linear.name].precision == "int8"]
    quantizer = _choose_quantizer(chosen, seen, treatments, is_sorted) if chosen else None
    return [
        _plan_linear(linear, treatments[linear.name], quantizer if linear in chosen else None, seen)
        for linear in family
    ]


def _choose_quantizer(
    family: list[Linear], seen: Activation, treatments: Mapping[str, Treatment], is_sorted: bool
) -> Quantizer:
    """Return the plain quantizer, or one that gains enough at the layers' outputs."""

    def score(quantizer: Quantizer) -> float:
        outputs = [_simulate(linear, treatments[linear.name], quantizer, seen.sample) for linear in family]
        return sqnr_db(*(np.concatenate(parts, axis=None) for parts in zip(*outputs, strict=True)))

    said = [treatments[linear.name] for linear in family]
    best = plain = _plain(seen)
    reached = floor = score(plain)
    if all(each.smoothing == "search" for each in said):
        smoothed = [_smoothed(family, seen, alpha) for alpha in ALPHAS]
        scores = [score(quantizer) for quantizer in smoothed]
        if max(scores) >= floor + _worthwhile_db(family):
            best, reached = smoothed[int(np.argmax(scores))], max(scores)
    if all(each.outliers == "any" or (each.outliers == "sorted" and is_sorted) for each in said):
        without = [_without_outliers(seen, count, is_sorted) for count in OUTLIERS if 8 * count <= seen.minimum.size]
        scores = [score(quantizer) for quantizer in without]
        if without and max(scores) >= max(reached, floor + _GAIN_DB):
            best = without[int(np.argmax(np.array(scores) >= max(scores) - _NEAR_DB))]  # the fewest that do
    return best


def _worthwhile_db(family: list[Linear]) -> float:
    """Return the gain in dB from which smoothing pays: its Mul over [tokens, K] costs more the smaller N is."""
    inner, columns = family[0].weight.shape[0], sum(linear.weight.shape[1] for linear in family)
    return _GAIN_DB + 0.5 * float(inner / columns)


def _plain(seen: Activation) -> Quantizer:
    return Quantizer(affine_u8(float(seen.minimum.min()), float(seen.maximum.max())))


def _smoothed(family: list[Linear], seen: Activation, alpha: float) -> Quantizer:
    weight_peak = np.max([np.abs(linear.weight).max(1) for linear in family], axis=0)
    smooth = smoothing_factors(_peak(seen), weight_peak, alpha)
    low, high = float((seen.minimum / smooth).min()), float((seen.maximum / smooth).max())
    return Quantizer(affine_u8(low, high), smooth, alpha)


def _without_outliers(seen: Activation, count: int, is_sorted: bool) -> Quantizer:
    """Return a quantizer for all but ``count`` channels of widest range: where they are sorted, the last ones."""
    order = np.arange(seen.minimum.size) if is_sorted else np.argsort(_peak(seen), kind="stable")
    kept, outliers = order[:-count], np.sort(order[-count:]).astype(np.int64)
    affine = affine_u8(float(seen.minimum[kept].min()), float(seen.maximum[kept].max()))
    return Quantizer(affine, outliers=outliers)


def _peak(seen: Activation) -> Float:
    return np.maximum(np.abs(seen.minimum), np.abs(seen.maximum))


def _int8(linear: Linear, treatment: Treatment, quantizer: Quantizer) -> QuantizedLinear:
    """Return a layer with its weights quantized and its bias as it was."""
    weights = quantize_columns(_float_weight(linear, quantizer), treatment.weight_range)
    bias = np.zeros(linear.weight.shape[1], np.float32) if linear.bias is None else linear.bias
    apart = None if quantizer.outliers is None else linear.weight[quantizer.outliers]
    return QuantizedLinear(quantizer, weights, bias, apart)


def _float_weight(linear: Linear, quantizer: Quantizer) -> Float:
    """Return the weight as it is quantized: smoothed, and 0 for outlier channels."""
    if quantizer.smooth is not None:
        return linear.weight * quantizer.smooth[:, None]
    if quantizer.outliers is None:
        return linear.weight
    weight = linear.weight.copy()
    weight[quantizer.outliers] = 0
    return weight


def _compensated(linear: Linear, treatment: Treatment, int8: QuantizedLinear, seen: Activation) -> Weights:
    """Return the layer's weights rounded for the inputs that were seen, with the noise of their own quantization."""
    quantizer, moment = int8.quantizer, seen.moment.astype(np.float64)
    if quantizer.smooth is not None:
        moment /= np.outer(quantizer.smooth, quantizer.smooth)
    if quantizer.outliers is not None:
        moment[quantizer.outliers, :] = moment[:, quantizer.outliers] = 0
    moment[np.diag_indices_from(moment)] += float(quantizer.affine.scale) ** 2 / 12
    if not np.isfinite(moment).all():
        return int8.weights  # its product is refused by name
    return compensate(_float_weight(linear, quantizer), int8.weights, moment, treatment.weight_range)


def _simulate(linear: Linear, treatment: Treatment, quantizer: Quantizer, rows: Float) -> tuple[Float, Float]:
    """Return the layer's product on sampled rows in float and in int8, both [rows, N] and without bias."""
    return rows @ linear.weight, _product(rows, _int8(linear, treatment, quantizer))


def _product(rows: Float, int8: QuantizedLinear) -> Float:
    quantizer = int8.quantizer
    scaled = rows if quantizer.smooth is None else rows * np.reciprocal(quantizer.smooth)
    product = dequantize_u8(quantize_u8(scaled, quantizer.affine), quantizer.affine) @ dequantize(int8.weights)
    return product if int8.apart is None else product + rows[:, quantizer.outliers] @ int8.apart


def _plan_linear(linear: Linear, treatment: Treatment, quantizer: Quantizer | None, seen: Activation) -> LinearPlan:
    if quantizer is None:
        return LinearPlan(linear, treatment, None, None)
    int8 = _int8(linear, treatment, quantizer)
    if treatment.rounding == "gptq":
        int8 = replace(int8, weights=_compensated(linear, treatment, int8, seen))
    reference, measured = seen.sample @ linear.weight, _product(seen.sample, int8)
    if not (np.isfinite(reference).all() and np.isfinite(measured).all()):
        raise NumericsError(
            "a layer's product is not finite on calibration data",
            where=linear.name,
            hint="the float model itself overflows: try another checkpoint or look at this layer's weights",
        )
    shift = (reference - measured).mean(0)
    return LinearPlan(
        linear=linear,
        treatment=treatment,
        int8=replace(int8, bias=np.ascontiguousarray(int8.bias + shift, np.float32)),
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
