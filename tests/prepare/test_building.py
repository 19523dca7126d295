"""One unit: built once, built again for whatever it depends on, and never left unlike its stamp."""

import pytest

from tests.jobs import write_lines
from tests.models import change_json, tiny_bert
from toolkit.prepare.building import Mode, do
from toolkit.prepare.stamp import stamp_path
from toolkit.progress import silent


def build(tiny, number=0, **mode):
    outcome = do(tiny.units()[number], Mode(**mode), silent)
    return outcome.result, outcome.why


@pytest.fixture
def built(tiny):
    assert build(tiny) == ("built", "not built yet")
    assert build(tiny) == ("up to date", "nothing changed")
    return tiny


def test_a_model_of_other_weights_is_built_again(built):
    tiny_bert(built.root / "encoder", seed=7)
    assert build(built) == ("built", "changed: source")
    assert build(built)[0] == "up to date"


def test_other_texts_are_calibrated_and_judged_on(built):
    write_lines(built.root / "calibration.jsonl", [{"text": text} for text in ("the cat", "a big red dog", "not bad")])
    assert build(built) == ("built", "changed: calibration")
    write_lines(built.root / "eval.jsonl", [{"text": text} for text in ("the dog", "a small tree", "very good")])
    assert build(built) == ("built", "changed: evaluation")


def test_other_limits_and_rules_are_another_recipe(built):
    limits = 'schema = 1\n[gate]\ndecision = "point"\n[gate.embedding]\ncosine_mean = { min = 0.6 }\n'
    (built.root / "limits.toml").write_text(limits, encoding="utf-8")
    built.change('model = "encoder"', 'model = "encoder"\nlimits = "limits.toml"')
    assert build(built) == ("built", "changed: recipe")
    built.change('limits = "limits.toml"', 'decision = "point"')
    assert build(built) == ("built", "changed: decision, recipe")


def test_options_count_by_what_they_come_to(built):
    built.change('model = "encoder"', 'model = "encoder"\npooling = "mean"')  # what it had anyway
    assert build(built)[0] == "up to date"
    built.change('pooling = "mean"', 'pooling = "cls"\nmax_length = 16')
    assert build(built) == ("built", "changed: max_length, pooling")


def test_a_tokenizer_of_its_own_counts(built):
    change_json(built.root / "encoder" / "tokenizer_config.json", model_max_length=32)
    assert build(built) == ("built", "changed: max_length, source")


def test_a_bundle_without_its_stamp_or_unlike_it_is_built_again(built):
    out = built.units()[0].out
    stamp_path(out).unlink()
    assert build(built) == ("built", "what it was made from is not known")
    stamp_path(out).write_text("{", encoding="utf-8")
    assert build(built)[0] == "built"
    model = out / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    assert build(built)[1].startswith("a file of the bundle is not what the manifest says")
    assert build(built)[0] == "up to date"


def test_force_builds_and_dry_does_not(built):
    assert build(built, force=True) == ("built", "forced")
    before = built.files()
    assert build(built, force=True, dry=True) == ("to build", "forced")
    assert build(built, number=1, dry=True) == ("to build", "not built yet")
    assert built.files() == before


def test_a_gate_that_fails_leaves_the_bundle_of_before(built):
    before = built.files()
    (built.root / "limits.toml").write_text("schema = 1\n[gate.embedding]\ncosine_mean = { min = 1.5 }\n")
    built.change('model = "encoder"', 'model = "encoder"\nlimits = "limits.toml"\ndecision = "point"')
    outcome = do(built.units()[0], Mode(), silent)
    assert (outcome.result, outcome.bundle, outcome.task) == ("gate failed", None, "embedding")
    assert "the int8 model is not accurate enough" in outcome.why
    assert outcome.gate["passed"] is False
    after = built.files()
    assert {name: data for name, data in after.items() if name.startswith("out/")} == {
        name: data for name, data in before.items() if name.startswith("out/")
    }
