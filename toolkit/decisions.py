"""``quantization.json``: what was decided for every tensor and why, for people and for `edgequant inspect`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import BundleError
from toolkit.numerics.weights import pair_bound_holds
from toolkit.plan import EmbeddingPlan, LinearPlan, QuantPlan

FILE_NAME = "quantization.json"
SCHEMA = 1


def decisions(plan: QuantPlan) -> dict[str, Any]:
    """Return the plan as plain values, without its weights."""
    return {
        "schema": SCHEMA,
        "engine": plan.engine,
        "linear": [_linear(item) for item in plan.linears],
        "embedding": [_embedding(item) for item in plan.embeddings],
        "float": list(plan.unquantized),
    }


def to_json(found: Mapping[str, Any]) -> bytes:
    """Return the file's bytes."""
    return (json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read(folder: Path) -> dict[str, Any]:
    """Return the decisions of the bundle in a folder; BundleError where there are none that can be read."""
    path = folder / FILE_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = "edgequant verify BUNDLE tells whether its files are whole"
        raise BundleError("the bundle's decisions cannot be read", where=path, got=error, hint=hint) from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise BundleError("the bundle's decisions are of another schema", where=path, expected=SCHEMA)
    return found


def _linear(plan: LinearPlan) -> dict[str, Any]:
    common = {
        "name": plan.linear.name,
        "shape": list(plan.linear.weight.shape),
        "precision": plan.treatment.precision,
        "why": list(plan.treatment.why),
    }
    if plan.int8 is None:
        return common
    quantizer, weights = plan.int8.quantizer, plan.int8.weights
    return common | {
        "sqnr_db": round(plan.sqnr_db or 0.0, 2),
        "alpha": quantizer.alpha,
        "outliers": 0 if quantizer.outliers is None else quantizer.outliers.size,
        "scale": float(quantizer.affine.scale),
        "zero_point": int(quantizer.affine.zero_point),
        "rounding": plan.treatment.rounding,
        "weight_range": plan.treatment.weight_range,
        "weight_peak": int(np.median(np.abs(weights.values.astype(np.int16)).max(0))),
        "pair_bound": pair_bound_holds(weights.values),
    }


def _embedding(plan: EmbeddingPlan) -> dict[str, Any]:
    return {
        "name": plan.embedding.name,
        "shape": list(plan.embedding.table.shape),
        "precision": plan.treatment.precision,
        "why": list(plan.treatment.why),
    } | ({} if plan.sqnr_db is None else {"sqnr_db": round(plan.sqnr_db, 2)})
