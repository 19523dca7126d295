"""Writing the bundle of a model of arrays: model, golden feeds, decisions and a manifest. No times, no paths."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import toolkit
from toolkit import decisions
from toolkit.bundle import LIBRARIES, write_folder
from toolkit.gate import GateReport, file_info
from toolkit.graphs.choosing import Chosen
from toolkit.graphs.feeds import Feeds
from toolkit.graphs.golden import MIN_SQNR_DB
from toolkit.graphs.preparing import FloatGraph
from toolkit.graphs.quantizing import Layer
from toolkit.numerics.sqnr import sqnr_db
from toolkit.numerics.weights import dequantize, pair_bound_holds, quantize_columns
from toolkit.runtime.manifest import SCHEMA, TargetInfo
from toolkit.runtime.tensor_golden import Row, pack
from toolkit.runtime.tensor_manifest import TASK, TensorGolden, TensorManifest, TensorModelInfo
from toolkit.targets import Recipe, recipe_digest
from toolkit.trust.provenance import PROVENANCE, Build, statement
from toolkit.trust.sbom import SBOM, Component, pypi, sbom

GOLDEN = "golden.npz"
_RUNTIME = ("numpy", "onnxruntime")
_LIBRARIES = tuple(name for name in LIBRARIES if name in ("numpy", "onnx", "onnxruntime"))


@dataclass(frozen=True, eq=False)
class Content:
    """Everything that goes into one bundle; ``digest`` is that of the evaluation feeds."""

    graph: FloatGraph
    recipe: Recipe
    calibration: Feeds
    evaluation: Feeds
    digest: str
    chosen: Chosen
    info: TensorModelInfo
    golden: list[Row]
    report: GateReport


def write_bundle(out: Path, content: Content, *, replace: bool) -> None:
    """Write the folder ``out``, whole or not at all; UsageError where it exists and may not be replaced."""
    files = {
        content.info.file: content.chosen.model,
        GOLDEN: pack(content.golden, content.info),
        decisions.FILE_NAME: decisions.to_json(decided(content.chosen)),
    }
    files |= _about(content, {name: file_info(data).sha256 for name, data in files.items()})
    infos = {name: file_info(data) for name, data in files.items()}
    recipe = content.recipe
    manifest = TensorManifest(
        schema=SCHEMA,
        name=content.graph.name,
        task=TASK,
        model=content.info,
        target=TargetInfo(recipe.name, recipe.cpu.architecture, recipe.cpu.requires),
        session=recipe.runtime.session_info(),
        provenance=provenance(content),
        gate=content.report.summary(),
        golden=TensorGolden(GOLDEN, len(content.golden), MIN_SQNR_DB),
        files=infos,
    )
    write_folder(out, files, manifest.to_json(), replace=replace)


def decided(chosen: Chosen) -> dict[str, Any]:
    """Return the decisions as ``quantization.json`` has them."""
    layers = [_layer(layer, chosen.alone.get(layer.name)) for layer in chosen.layers]
    return {"schema": decisions.SCHEMA, "linear": layers, "embedding": [], "float": []}


def provenance(content: Content) -> dict[str, object]:
    """Return where a bundle comes from: model, recipe, data and versions."""
    sets = {"calibration": content.calibration, "evaluation": content.evaluation}
    return {
        "built_by": f"edgequant {toolkit.__version__}",
        "graph_from": "onnx file",
        "model_sha256": content.graph.digest,
        "recipe_sha256": recipe_digest(content.recipe),
        "verify": content.recipe.verify.model_dump(mode="json"),
        "image_platform": content.recipe.image.platform,
        **{what: {"name": feeds.name, "rows": len(feeds)} for what, feeds in sets.items()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES},
    }


def _layer(layer: Layer, alone: float | None) -> dict[str, Any]:
    common = {
        "name": layer.name,
        "shape": list(layer.columns.shape),
        "precision": layer.treatment.precision,
        "why": list(layer.treatment.why),
    }
    if not layer.int8:
        return common
    weights = quantize_columns(layer.columns, layer.treatment.weight_range)
    return common | {
        "sqnr_db": round(sqnr_db(layer.columns, dequantize(weights)) if alone is None else alone, 2),
        "alpha": None,
        "weight_range": layer.treatment.weight_range,
        "weight_peak": int(np.median(np.abs(weights.values.astype(np.int16)).max(0))),
        "pair_bound": pair_bound_holds(weights.values),
    }


def _about(content: Content, digests: Mapping[str, str]) -> dict[str, bytes]:
    """Return the bill of materials and the statement of how the files came about."""
    graph, recipe = content.graph, content.recipe
    said = f"{TASK}, int8, for {recipe.name}"
    model = content.info.file
    sets = (content.calibration, content.evaluation)
    parts = [
        Component("machine-learning-model", model, sha256=digests[model], source=said, made_from=graph.digest),
        Component("file", GOLDEN, sha256=digests[GOLDEN]),
        *(Component("data", one.name, build_only=True) for one in sets),
        *(pypi(name, version(name), build_only=name not in _RUNTIME) for name in _LIBRARIES),
    ]
    float_model = Component("machine-learning-model", f"{graph.name} (float)", sha256=graph.digest, build_only=True)
    build = Build(
        "quantize",
        {"target": recipe.name, "calibration": content.calibration.name, "evaluation": content.evaluation.name},
        [float_model, *(part for part in parts if part.build_only or part.purl)],
        {"recipe_sha256": recipe_digest(recipe), "python": platform.python_version()},
    )
    subject = Component("machine-learning-model", f"{graph.name} for {recipe.name}", source=said)
    return {SBOM: sbom(subject, parts), PROVENANCE: statement(digests, build)}
