"""Writing a bundle: model, tokenizer, decisions and a manifest that describes and guards them. No times, no paths."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import toolkit
from toolkit import decisions
from toolkit.atomic import whole_folder
from toolkit.fallback import Fallback
from toolkit.gate import GateReport, file_info
from toolkit.plan import QuantPlan
from toolkit.runtime.manifest import (
    CHECKSUM,
    FILE_NAME,
    SCHEMA,
    FileInfo,
    Golden,
    Manifest,
    ModelInfo,
    TargetInfo,
    TokenizerInfo,
    checksum_line,
)
from toolkit.samples import Samples
from toolkit.sources.causal import CausalSource
from toolkit.sources.source import Source
from toolkit.targets import Recipe, recipe_digest
from toolkit.trust.provenance import PROVENANCE, Build, statement
from toolkit.trust.sbom import SBOM, Component, pypi, sbom
from toolkit.tuning.measurement import Measurement, described

MODEL, TOKENIZER = "model.onnx", "tokenizer.json"
RUNTIME = ("numpy", "onnxruntime", "onnxruntime-genai", "tokenizers")
GENAI = "onnxruntime-genai"
LIBRARIES = ("numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "tokenizers")


@dataclass(frozen=True)
class Content:
    """Everything that goes into one bundle."""

    source: Source
    recipe: Recipe
    calibration: Samples
    evaluation: Samples
    plan: QuantPlan
    model: bytes
    info: ModelInfo
    golden: Golden
    report: GateReport
    precision: str = "int8"
    measurement: Measurement | None = None  # None: the forms are the recipe's
    fallback: Fallback | None = None  # None: the plan is the recipe's alone


@dataclass(frozen=True)
class Facts:
    """What a bundle tells of a model whose files were made elsewhere."""

    source: CausalSource
    recipe: Recipe
    calibration: Samples | None  # None: nothing was observed
    evaluation: Samples
    info: ModelInfo
    golden: Golden
    report: GateReport
    precision: str


def write_bundle(out: Path, content: Content, *, replace: bool) -> None:
    """Write the folder ``out``, whole or not at all; UsageError where it exists and may not be replaced."""
    files = {
        MODEL: content.model,
        TOKENIZER: content.source.tokenizer_json.encode(),
        decisions.FILE_NAME: decisions.to_json(decided(content)),
    }
    write_files(out, content, files, replace=replace)


def write_files(out: Path, content: Content | Facts, made: Mapping[str, bytes], *, replace: bool) -> None:
    """Write a bundle of files that were made, with what describes and guards them; errors as ``write_bundle``."""
    files = dict(made)
    files |= _about(content, {name: file_info(data).sha256 for name, data in files.items()})
    infos = {name: file_info(data) for name, data in files.items()}
    write_folder(out, files, _manifest(content, infos).to_json(), replace=replace)


def write_folder(out: Path, files: Mapping[str, bytes], manifest: bytes, *, replace: bool) -> None:
    """Write a bundle's folder, whole or not at all; UsageError where it exists and may not be replaced."""
    with whole_folder(out, replace=replace) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / CHECKSUM).write_bytes(checksum_line(manifest))
        (folder / FILE_NAME).write_bytes(manifest)


def decided(content: Content) -> dict[str, object]:
    """Return every decision: of each tensor, and of the graph's forms; and what a fallback or a budget gave up.

    Forms are edgequant's own engine's.
    """
    forms = described(content.recipe.forms, content.measurement) if content.plan.engine == "native" else {}
    found = decisions.decisions(content.plan) | forms
    return found if content.fallback is None else found | {"fallback": content.fallback.as_dict()}


def tokenizer_info(source: Source | CausalSource) -> TokenizerInfo:
    """Return how the runtime shall tokenize for a source."""
    return TokenizerInfo(TOKENIZER, source.max_length, source.pad_id)


def _about(content: Content | Facts, digests: Mapping[str, str]) -> dict[str, bytes]:
    """Return the bill of materials and the statement of how the files came about."""
    source, recipe = content.source, content.recipe
    said = f"{source.task}, {content.precision}, for {recipe.name}"
    purl = f"pkg:huggingface/{source.origin.removeprefix('hub:')}" if source.origin else ""
    called = f"{source.name} (float)"
    float_model = Component("machine-learning-model", called, sha256=source.digest, purl=purl, build_only=True)
    data = _sets(content)
    parts = [
        Component("machine-learning-model", MODEL, sha256=digests[MODEL], source=said, made_from=source.digest),
        Component("file", TOKENIZER, sha256=digests[TOKENIZER]),
        *(
            Component("data", one.name, sha256=one.digest, licence=one.licence, source=one.source, build_only=True)
            for one in data.values()
        ),
        *(pypi(name, version(name), build_only=name not in RUNTIME) for name in _libraries(content)),
    ]
    build = Build(
        "quantize",
        {"target": recipe.name, **{role: one.name for role, one in data.items()}},
        [float_model, *(part for part in parts if part.build_only or part.purl)],
        {"recipe_sha256": recipe_digest(recipe), "python": platform.python_version()},
    )
    subject = Component("machine-learning-model", f"{source.name} for {recipe.name}", source=said)
    return {SBOM: sbom(subject, parts), PROVENANCE: statement(digests, build)}


def _manifest(content: Content | Facts, files: Mapping[str, FileInfo]) -> Manifest:
    source, recipe = content.source, content.recipe
    return Manifest(
        schema=SCHEMA,
        name=source.name,
        task=source.task,
        model=content.info,
        tokenizer=tokenizer_info(source),
        pooling=source.pooling,
        normalize=source.normalize,
        labels=source.labels,
        multi_label=source.multi_label,
        target=TargetInfo(recipe.name, recipe.cpu.architecture, recipe.cpu.requires),
        session=recipe.runtime.session_info(),
        provenance=provenance(content),
        gate=content.report.summary(),
        golden=content.golden,
        files=files,
    )


def provenance(content: Content | Facts) -> dict[str, object]:
    """Return where a bundle comes from: model, recipe, data and versions."""
    return {
        "built_by": f"edgequant {toolkit.__version__}",
        **({"engine": content.plan.engine} if isinstance(content, Content) else {}),
        "graph_from": content.source.built_by,
        "model_sha256": content.source.digest,
        **({"model_origin": content.source.origin} if content.source.origin else {}),
        "recipe_sha256": recipe_digest(content.recipe),
        "verify": content.recipe.verify.model_dump(mode="json"),
        "image_platform": content.recipe.image.platform,
        **{role: _data(one) for role, one in _sets(content).items()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _libraries(content)},
    }


def _sets(content: Content | Facts) -> dict[str, Samples]:
    return {**({"calibration": content.calibration} if content.calibration else {}), "evaluation": content.evaluation}


def _libraries(content: Content | Facts) -> tuple[str, ...]:
    return tuple(sorted((*LIBRARIES, GENAI))) if content.source.task == "text-generation" else LIBRARIES


def _data(samples: Samples) -> dict[str, object]:
    return {
        "name": samples.name,
        "sha256": samples.digest,
        "rows": len(samples.texts),
        "licence": samples.licence,
        "source": samples.source,
    }
