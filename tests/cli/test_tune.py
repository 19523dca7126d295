import json
import re

import numpy as np
import pytest

from tests.jobs import tiny_job
from toolkit.cli import main, tune
from toolkit.errors import EdgequantError

KEYS = ("conditions", "forms", "schema", "session", "trials", "tuning")


@pytest.fixture
def job(tmp_path, monkeypatch, here):
    """Return a small job on a machine that finds FastGelu's and Split's graphs slow, all others alike."""

    def cpu_seconds(place, variants, feeds):
        assert place is here
        slow = [2.0 if b"Split" in variant.model else 1.0 for variant in variants]
        return np.tile(np.array(slow), (len(feeds), 3, 1))

    monkeypatch.setattr(tune, "cpu_seconds", cpu_seconds)
    monkeypatch.setattr(tune, "place_to_time_on", lambda *_: here)
    folder = tiny_job(tmp_path)
    recipe = folder.root / "loose.toml"
    text = recipe.read_text(encoding="utf-8").replace('projection = "separate"', 'projection = "merged"')
    recipe.write_text(text, encoding="utf-8")
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_was_measured_is_in_the_bundle_and_makes_the_same_one_again(job, capsys):
    stored = job.root / "tuning.json"
    assert job.quantize("--tune", "--tuning", str(stored)) == 0
    said = capsys.readouterr().out
    assert "forms     attention onnx, projection separate" in said
    assert "projection separate instead of merged: 2.000x, taken (ms: 1000.00 for 2000.00" in said
    first = files(job.out)
    found = json.loads(first["quantization.json"])
    assert found["forms"]["projection"] == "separate"
    assert found["measurement"] == json.loads(stored.read_text(encoding="utf-8"))
    assert sorted(found["measurement"]) == sorted(KEYS)
    assert job.quantize("--tuning", str(stored), "--force") == 0
    assert files(job.out) == first
    assert job.quantize("--tune", "--tuning", str(stored), "--force") == 0
    assert files(job.out) == first
    capsys.readouterr()
    assert main(["inspect", str(job.out)]) == 0
    assert "projection separate instead of merged: 2.000x, taken" in capsys.readouterr().out


def test_without_a_measurement_the_recipes_forms_are_taken(job, capsys):
    assert job.quantize() == 0
    assert "forms     attention onnx, projection merged" in capsys.readouterr().out
    found = json.loads((job.out / "quantization.json").read_text(encoding="utf-8"))
    assert found["forms"]["projection"] == "merged"
    assert "measurement" not in found


def test_kernels_that_cannot_be_timed_leave_the_recipes_forms(job, capsys, monkeypatch):
    def nowhere(isa, _cache):
        raise EdgequantError(f"the kernels of {isa} cannot be timed here", got="this CPU is another")

    monkeypatch.setattr(tune, "place_to_time_on", nowhere)
    stored = job.root / "tuning.json"
    assert job.quantize("--tune", "--tuning", str(stored)) == 0
    said = capsys.readouterr()
    assert "the recipe's forms are taken: the kernels of avx2 cannot be timed here" in said.err
    assert "projection merged" in said.out
    assert not stored.exists()


def test_a_measurement_that_is_not_there_is_told(job, capsys):
    assert job.quantize("--tuning", str(job.root / "none.json")) == 2
    said = capsys.readouterr().err
    assert "there is no such measurement" in said
    assert "hint: say --tune to make it" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"conditions": {"target": "x86-vnni"}}, "conditions.target(.*\n)*.*got: x86-vnni"),
        ({"conditions": {"model_sha256": "0" * 64}}, "conditions.model_sha256"),
        ({"conditions": {"onnxruntime": "1.2.3"}}, "conditions.onnxruntime(.*\n)*.*got: 1.2.3"),
        ({"tuning": {"minimum_gain": 0.5}}, "tuning.json: tuning"),
        ({"forms": {"gelu": "tan"}}, "forms.gelu(.*\n)*.*did you mean 'tanh'"),
        ({"conditions": {"isaa": "avx2"}}, "unknown key 'isaa'(.*\n)*.*did you mean 'isa'"),
    ],
    ids=str,
)
def test_a_measurement_of_something_else_is_refused(job, capsys, change, said):
    stored = job.root / "tuning.json"
    assert job.quantize("--tune", "--tuning", str(stored)) == 0
    found = json.loads(stored.read_text(encoding="utf-8"))
    for table, values in change.items():
        found[table] |= values
    stored.write_text(json.dumps(found), encoding="utf-8")
    capsys.readouterr()
    assert job.quantize("--tuning", str(stored), "--force") == 2
    error = capsys.readouterr().err

    assert re.search(said, error), error


@pytest.mark.parametrize(("text", "said"), [("{", "not valid JSON"), ("[]", "wrong value")])
def test_a_file_that_is_no_measurement_is_refused(job, capsys, text, said):
    stored = job.root / "tuning.json"
    stored.write_text(text, encoding="utf-8")
    assert job.quantize("--tuning", str(stored)) == 2
    assert said in capsys.readouterr().err


def test_a_causal_model_has_no_forms(job, capsys):
    assert job.quantize("--tune", "--task", "text-generation") == 2
    assert "a causal model has no forms to choose from\n  got: --tune" in capsys.readouterr().err


def test_a_graph_has_no_forms(job, capsys):
    graph, calibration = job.root / "any.onnx", job.root / "arrays.npz"
    graph.write_bytes(b"")
    calibration.write_bytes(b"")
    assert job.quantize("--tuning", "none.json", model=graph, calibration=calibration) == 2
    assert "a model that is no text encoder has no forms to choose from" in capsys.readouterr().err
