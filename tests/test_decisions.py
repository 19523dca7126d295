import json

import numpy as np
import pytest

from tests.graphs import graph, node
from toolkit.decisions import decisions, to_json
from toolkit.lower import lower
from toolkit.observe import observe
from toolkit.plan import QuantPlan, plan
from toolkit.targets import Quantization, Rule

INT8 = Rule(why="All é8.", select="linear", precision="int8", weight_range="pair", smoothing="none")
SMALL = Rule(why="Small.", select="linear", max_parameters=30, precision="float")
TABLES = Rule(why="Tables.", select="embedding", precision="int8")


def made(*rules: Rule) -> QuantPlan:
    rng = np.random.default_rng(0)
    held = {"table": (20, 6), "large": (6, 8), "small": (8, 3)}
    nodes = [
        node("Gather", ["table", "ids"], "x"),
        node("MatMul", ["x", "large"], "h"),
        node("MatMul", ["h", "small"], "s"),
        node("Transpose", ["s"], "t", perm=[0, 2, 1]),
        node("MatMul", ["s", "t"], "y"),
    ]
    constants = {name: rng.normal(size=shape).astype(np.float32) for name, shape in held.items()}
    lowered = lower(graph(nodes, constants, {"ids": ["batch", "length"]}))
    ids = np.arange(20, dtype=np.int64).reshape(2, 10)
    return plan(lowered, observe(lowered, [{"ids": ids}]), Quantization(rules=rules))


def test_every_tensor_and_why():
    planned = made(INT8, SMALL, TABLES)
    found = decisions(planned)
    large, small = found["linear"]
    numbers = planned.linears[0].int8
    assert large == {
        "name": "n.h",
        "shape": [6, 8],
        "precision": "int8",
        "why": ["All é8."],
        "sqnr_db": round(planned.linears[0].sqnr_db, 2),
        "alpha": None,
        "outliers": 0,
        "scale": float(numbers.quantizer.affine.scale),
        "zero_point": int(numbers.quantizer.affine.zero_point),
        "rounding": "nearest",
        "weight_range": "pair",
        "weight_peak": large["weight_peak"],
        "pair_bound": True,
    }
    assert 64 <= large["weight_peak"] <= 127
    assert small == {"name": "n.s", "shape": [8, 3], "precision": "float", "why": ["All é8.", "Small."]}
    (table,) = found["embedding"]
    assert table == {
        "name": "table",
        "shape": [20, 6],
        "precision": "int8",
        "why": ["Tables."],
        "sqnr_db": round(planned.embeddings[0].sqnr_db, 2),
    }
    assert found["float"] == ["n.y: both factors are activations"]
    assert found["schema"] == 1


def test_the_file_reads_back_as_it_was_written():
    found = decisions(made(INT8, SMALL, TABLES))
    written = to_json(found)
    assert json.loads(written) == found
    assert written.endswith(b"}\n")
    assert "é8".encode() in written
    assert to_json(decisions(made(INT8, SMALL, TABLES))) == written


def test_a_plan_of_nothing():
    found = decisions(made())
    assert [item["precision"] for item in found["linear"] + found["embedding"]] == ["float"] * 3
    assert all("sqnr_db" not in item for item in found["linear"] + found["embedding"])


def test_weights_that_can_saturate_are_told():
    full = Rule(why="Full.", select="linear", weight_range="full")
    item = decisions(made(INT8, full))["linear"][0]
    assert (item["weight_range"], item["weight_peak"], item["pair_bound"]) == ("full", 127, False)


def test_what_is_no_number_is_never_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"sqnr_db": float("nan")})
