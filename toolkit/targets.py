"""Target recipes: what a CPU can do in int8, how to quantize for it, and how good the result must be."""

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from toolkit.errors import RecipeError, UsageError
from toolkit.forms import Forms, Tuning
from toolkit.limits import (
    Bounds,
    ClassificationLimits,
    EmbeddingLimits,
    RerankingLimits,
    TensorsLimits,
    TextGenerationGate,
    TokenClassificationLimits,
)
from toolkit.paths import data_folder
from toolkit.runtime.cpu import missing
from toolkit.runtime.manifest import GraphOptimization, SessionInfo, Task
from toolkit.strict import StrictModel, nearest, read_strict

Bits = Literal[4, 8]
BlockSize = Literal[16, 32, 64, 128, 256]
Precision = Literal["int8", "float"]
WeightRange = Literal["full", "pair", "reduced"]
Smoothing = Literal["none", "search"]
Kind = Literal["linear", "embedding", "conv"]
"""What a rule selects; "conv" and "linear" are also those of graphs that are no text encoders."""
Rounding = Literal["nearest", "gptq"]
Outliers = Literal["none", "sorted", "any"]
"""Whether the channels of widest range are multiplied in float: nowhere, where they are sorted, or at any layer."""
Decision = Literal["interval", "point"]
EngineName = Literal["native", "onnxruntime", "neural-compressor"]
"""Who quantizes: edgequant itself, or another quantizer in a process of its own."""
Isa = Literal["avx2", "vnni", "neon", "dotprod", "i8mm"]
"""A family of int8 kernels of ONNX Runtime, by the CPU feature that it needs."""

ISAS: Mapping[str, tuple[Isa, ...]] = {"x86_64": ("avx2", "vnni"), "arm64": ("neon", "dotprod", "i8mm")}


class Cpu(StrictModel):
    """What the target's CPU has, in the names of ``toolkit.runtime.cpu.features``."""

    architecture: Literal["x86_64", "arm64"]
    requires: tuple[str, ...]
    machines: tuple[str, ...]
    int8_kernel: str
    pair_saturation: bool
    """The kernel adds neighbouring u8·s8 products in 16 bits (VPMADDUBSW) and saturates."""


class Rule(StrictModel):
    """One sentence of the recipe: what is selected, and what is decided for it."""

    why: str
    select: Kind
    name: str = "*"
    min_parameters: Annotated[int, Field(ge=0)] = 0
    max_parameters: Annotated[int, Field(ge=0)] | None = None
    precision: Precision | None = None
    weight_range: WeightRange | None = None
    smoothing: Smoothing | None = None
    outliers: Outliers | None = None
    rounding: Rounding | None = None

    def matches(self, kind: str, name: str, parameters: int) -> bool:
        """Tell whether the rule speaks of the tensor ``name`` with that many weights."""
        small_enough = self.max_parameters is None or parameters <= self.max_parameters
        return (
            kind == self.select and fnmatchcase(name, self.name) and parameters >= self.min_parameters and small_enough
        )


class Treatment(StrictModel):
    """What the rules decide for one tensor, and the sentences that decided it."""

    precision: Precision = "float"
    weight_range: WeightRange = "pair"  # exact on every CPU, where no rule knows better
    smoothing: Smoothing = "none"
    outliers: Outliers = "none"
    rounding: Rounding = "nearest"
    why: tuple[str, ...] = ()


class BlockRule(StrictModel):
    """Linear layers of a causal model, by the patterns of their names, whose weights keep 8 bits where others get 4."""

    why: str
    names: tuple[str, ...]


class TextGeneration(StrictModel):
    """How the weights of a causal model are quantized, in blocks of each column."""

    bits: Bits
    block_size: BlockSize
    accuracy_level: Annotated[int, Field(ge=0, le=4)]
    """Of onnxruntime's MatMulNBits: 4 takes the inputs as int8 where the CPU has such a kernel."""
    rules: tuple[BlockRule, ...] = ()

    def decide(self, name: str) -> tuple[Bits, str]:
        """Return the bits of a linear layer, and why."""
        if self.bits == 8:
            return 8, "Every linear layer has 8 bits."
        for rule in self.rules:
            if any(fnmatchcase(name, pattern) for pattern in rule.names):
                return 8, rule.why
        return 4, "No rule asks for 8 bits."


class Quantization(StrictModel):
    """Ordered rules: each one that matches overrides what the ones before it said."""

    engine: EngineName = "native"
    """Only ``native`` reads the rules; the others have rules of their own."""
    rules: tuple[Rule, ...]
    fallback: bool = True
    """Where the gate refuses, layers give up int8 until it passes."""
    text_generation: Annotated[TextGeneration | None, Field(alias="text-generation")] = None

    def decide(self, kind: Kind, name: str, parameters: int) -> Treatment:
        """Return what holds for one tensor after all the rules were read."""
        decided: dict[str, object] = {}
        why: list[str] = []
        for rule in self.rules:
            if rule.matches(kind, name, parameters):
                decided |= rule.model_dump(include=set(Treatment.model_fields) - {"why"}, exclude_none=True)
                why.append(rule.why)
        return Treatment.model_validate({**decided, "why": tuple(why) or ("No rule speaks of it.",)})


class Gate(StrictModel):
    """How the accuracy gate decides, and its limits by task."""

    decision: Decision = "interval"
    """interval: the whole confidence interval must keep to a limit; point: the measured value alone."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Of a pass and of a fail: a model just at a limit passes by chance once in 20 times."""
    embedding: EmbeddingLimits
    classification: ClassificationLimits
    reranking: RerankingLimits
    token_classification: Annotated[TokenClassificationLimits, Field(alias="token-classification")]
    text_generation: Annotated[TextGenerationGate, Field(alias="text-generation")] = TextGenerationGate()
    tensors: TensorsLimits = TensorsLimits()

    def limits(self, task: Task | Literal["tensors"], bits: Bits = 8) -> dict[str, Bounds]:
        """Return the limits of ``task`` by metric, of text generation for weights of so many bits."""
        chosen: StrictModel = getattr(self, task.replace("-", "_"))
        if isinstance(chosen, TextGenerationGate):
            chosen = chosen.int4 if bits == 4 else chosen.int8
        return {name: limit for name in type(chosen).model_fields if (limit := getattr(chosen, name)) is not None}


class SomeGate(Gate):
    """What a file of limits says: tasks that it leaves out have none."""

    embedding: EmbeddingLimits = EmbeddingLimits()
    classification: ClassificationLimits = ClassificationLimits()
    reranking: RerankingLimits = RerankingLimits()
    token_classification: Annotated[TokenClassificationLimits, Field(alias="token-classification")] = (
        TokenClassificationLimits()
    )


class LimitsFile(StrictModel):
    """A file of limits alone: ``schema = 1`` and the table ``gate`` of a recipe."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    gate: SomeGate


class Runtime(StrictModel):
    """How the device's session is set up."""

    graph_optimization: GraphOptimization
    disabled_optimizers: tuple[str, ...]
    allow_spinning: bool
    memory_arena: bool
    max_batch_tokens: Annotated[int, Field(ge=1)]

    def session_info(self) -> SessionInfo:
        """Return the settings as the manifest carries them."""
        return SessionInfo(
            graph_optimization=self.graph_optimization,
            disabled_optimizers=tuple(self.disabled_optimizers),
            allow_spinning=self.allow_spinning,
            memory_arena=self.memory_arena,
            max_batch_tokens=self.max_batch_tokens,
        )


class Image(StrictModel):
    """What an OCI image for this target is built as."""

    platform: Literal["linux/amd64", "linux/arm64"]


class Verify(StrictModel):
    """On which kernels a bundle for this target is proven before it is shipped."""

    isa: Isa
    cpu_models: tuple[Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.,=-]*$")], ...]
    """QEMU's names of CPUs with just these kernels; empty where QEMU has none."""


class Recipe(StrictModel):
    """One target, as its file ``targets/NAME.toml`` describes it."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: str
    description: str
    cpu: Cpu
    quantization: Quantization
    forms: Forms
    tuning: Tuning
    gate: Gate
    runtime: Runtime
    image: Image
    verify: Verify

    @model_validator(mode="after")
    def _respects_the_kernel(self) -> "Recipe":
        full = [rule.why for rule in self.quantization.rules if rule.weight_range == "full"]
        if self.cpu.pair_saturation and full:
            raise ValueError(f'pair_saturation is true, but a rule sets weight_range = "full": "{full[0]}"')
        return self

    @model_validator(mode="after")
    def _verifies_its_own_kernels(self) -> "Recipe":
        if self.verify.isa not in ISAS[self.cpu.architecture]:
            known = ", ".join(ISAS[self.cpu.architecture])
            raise ValueError(f"verify.isa is {self.verify.isa!r}, but {self.cpu.architecture} has {known}")
        return self


def recipe_files() -> dict[str, Path]:
    """Return the shipped recipes by target name, in a fixed order."""
    return {path.stem: path for path in sorted(data_folder("targets").glob("*.toml"))}


def load_recipe(target: str) -> Recipe:
    """Read the recipe of a shipped target, or of a file that ends in ``.toml``.

    Raises UsageError for a name that does not exist and RecipeError for a recipe that does not hold.
    """
    files = recipe_files()
    path = Path(target) if target.endswith(".toml") else files.get(target)
    if path is None:
        hint = nearest(target, files) or "`edgequant targets` lists them"
        raise UsageError(f"unknown target {target!r}", expected=", ".join(files), hint=hint)
    if not path.is_file():
        raise UsageError("there is no such recipe", where=path, hint="`edgequant targets` lists the shipped ones")
    recipe = read_strict(path, Recipe)
    if files.get(path.stem) == path and recipe.name != path.stem:
        raise RecipeError("a recipe is named as its file", where=f"{path}: name", got=recipe.name, expected=path.stem)
    return recipe


def load_limits(spec: str) -> Gate:
    """Return the limits of a shipped target, or of a file of limits.

    Raises UsageError for a name that does not exist and RecipeError for a file that does not hold.
    """
    if not spec.endswith(".toml"):
        return load_recipe(spec).gate
    path = Path(spec)
    if not path.is_file():
        hint = "`edgequant targets` lists whose limits can be taken by name"
        raise UsageError("there is no such file of limits", where=path, hint=hint)
    return read_strict(path, LimitsFile).gate


def recipe_digest(recipe: Recipe) -> str:
    """Return the sha256 of what the recipe says, whatever its comments and layout."""
    return hashlib.sha256(recipe.model_dump_json(by_alias=True).encode()).hexdigest()


def target_for(architecture: str, features: frozenset[str]) -> str | None:
    """Return the shipped target that asks for the most that this CPU has, or None."""
    recipes = [load_recipe(name) for name in recipe_files()]
    fitting = [
        recipe
        for recipe in recipes
        if recipe.cpu.architecture == architecture and not missing(recipe.cpu.requires, features)
    ]
    return max(fitting, key=lambda recipe: len(recipe.cpu.requires)).name if fitting else None
