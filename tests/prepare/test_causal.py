"""A causal language model as a unit of a stack."""

import json
import shutil
from pathlib import Path

import pytest

from toolkit.prepare import read_stack
from toolkit.prepare.building import Mode, do
from toolkit.prepare.units import Place, units
from toolkit.progress import silent
from toolkit.runtime import load

STORIES = Path(__file__).parents[1] / "golden/stories260k"
STACK = """
schema = 1
name = "tales"
targets = ["x86-avx2"]

[models.teller]
model = "stories"
bits = 8
decision = "point"
evaluation = { set = "tinystories", samples = 12 }
"""


def build(root, **mode):
    (unit,) = units(read_stack(root / "stack.toml"), Place(root, root / "out", {}))
    outcome = do(unit, Mode(**mode), silent)
    return outcome, unit


@pytest.fixture
def stack(tmp_path):
    shutil.copytree(STORIES, tmp_path / "stories")
    (tmp_path / "stack.toml").write_text(STACK, encoding="utf-8")
    return tmp_path


def test_it_is_built_once_and_again_for_what_it_depends_on(stack):
    first, unit = build(stack)
    assert (first.result, first.why, first.task) == ("built", "not built yet", "text-generation")
    assert load(unit.out, 1).generate("Once upon a time").text.startswith(", there was a little girl named Lily.")
    assert build(stack)[0].result == "up to date"
    config = json.loads((stack / "stories/genai_config.json").read_text(encoding="utf-8"))
    config["search"]["top_k"] = 7
    (stack / "stories/genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert (build(stack, dry=True)[0].result, build(stack, dry=True)[0].why) == ("to build", "changed: source")
    text = (stack / "stack.toml").read_text(encoding="utf-8")
    (stack / "stack.toml").write_text(text.replace("bits = 8", "bits = 4"), encoding="utf-8")
    assert build(stack, dry=True)[0].why == "changed: bits, calibration, source"


def test_a_gate_that_fails_is_told(stack):
    limits = "schema = 1\n[gate.text-generation.int8]\nperplexity_ratio = { max = 0.5 }\n"
    (stack / "limits.toml").write_text(limits, encoding="utf-8")
    text = (stack / "stack.toml").read_text(encoding="utf-8")
    (stack / "stack.toml").write_text(f'{text}limits = "limits.toml"\n', encoding="utf-8")
    outcome, unit = build(stack)
    assert outcome.result == "gate failed"
    assert "perplexity" in outcome.why
    assert not unit.out.exists()
