"""Equal forms of a computation: what a recipe chooses between, and how a measurement is to choose."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from toolkit.strict import StrictModel


class Forms(StrictModel):
    """One form for each computation that has several.

    All give the same numbers to within float's rounding, but ``gelu = "tanh"``: an approximation, off by 5e-4 at most.
    """

    attention: Literal["matmul", "multi-head", "onnx"]
    """MatMul, Softmax and MatMul; ONNX Runtime's MultiHeadAttention; or ONNX's Attention."""
    projection: Literal["merged", "separate"]
    """Layers with one input, as Q, K and V: one GEMM and a Split, or a GEMM each."""
    normalization: Literal["parts", "fused"]
    """Add and LayerNormalization, or SkipLayerNormalization."""
    gelu: Literal["erf", "biased", "tanh"]
    """Gelu, BiasGelu with the bias of the GEMM before it, or FastGelu."""


APPROXIMATE = ("tanh",)
"""Forms that change numbers by more than rounding: measured only where the recipe says so."""


def alternatives(axis: str) -> tuple[str, ...]:
    """Return the forms of one computation."""
    return get_args(Forms.model_fields[axis].annotation)


class Profile(StrictModel):
    """What the model will be run with: a shape, and its share in the decision."""

    name: str
    batch: Annotated[int, Field(ge=1)]
    length: Annotated[int, Field(ge=1)]
    weight: Annotated[float, Field(gt=0)]


class Tuning(StrictModel):
    """How forms are chosen by measurement."""

    minimum_gain: Annotated[float, Field(ge=0, lt=1)]
    """By what share a form must be faster than the recipe's to take its place."""
    approximate: bool
    """Whether a form that approximates may be chosen; the gate judges what comes of it."""
    profiles: Annotated[tuple[Profile, ...], Field(min_length=1)]
