"""Writing a bundle: model, tokenizer, decisions and a manifest that describes and guards them. No times, no paths."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import toolkit
from toolkit import decisions
from toolkit.atomic import whole_folder
from toolkit.gate import GateReport
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
from toolkit.sources.source import Source
from toolkit.targets import Recipe, recipe_digest

MODEL, TOKENIZER = "model.onnx", "tokenizer.json"
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


def write_bundle(out: Path, content: Content, *, replace: bool) -> None:
    """Write the folder ``out``, whole or not at all; UsageError where it exists and may not be replaced."""
    files = {
        MODEL: content.model,
        TOKENIZER: content.source.tokenizer_json.encode(),
        decisions.FILE_NAME: decisions.to_json(decisions.decisions(content.plan)),
    }
    infos = {name: file_info(data) for name, data in files.items()}
    with whole_folder(out, replace=replace) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        manifest = _manifest(content, infos).to_json()
        (folder / CHECKSUM).write_bytes(checksum_line(manifest))
        (folder / FILE_NAME).write_bytes(manifest)


def file_info(data: bytes) -> FileInfo:
    """Return what guards a file of these bytes."""
    return FileInfo(hashlib.sha256(data).hexdigest(), len(data))


def tokenizer_info(source: Source) -> TokenizerInfo:
    """Return how the runtime shall tokenize for a source."""
    return TokenizerInfo(TOKENIZER, source.max_length, source.pad_id)


def _manifest(content: Content, files: Mapping[str, FileInfo]) -> Manifest:
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


def provenance(content: Content) -> dict[str, object]:
    """Return where a bundle comes from: model, recipe, data and versions."""
    return {
        "built_by": f"edgequant {toolkit.__version__}",
        "graph_from": content.source.built_by,
        "model_sha256": content.source.digest,
        "recipe_sha256": recipe_digest(content.recipe),
        "verify": content.recipe.verify.model_dump(mode="json"),
        "image_platform": content.recipe.image.platform,
        "calibration": _data(content.calibration),
        "evaluation": _data(content.evaluation),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def _data(samples: Samples) -> dict[str, object]:
    return {
        "name": samples.name,
        "sha256": samples.digest,
        "rows": len(samples.texts),
        "licence": samples.licence,
        "source": samples.source,
    }
