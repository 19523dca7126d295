"""Every target and every task, from the model's folder to a bundle that runs."""

import json

import pytest

from tests.jobs import recipe_with, tiny_job
from toolkit.cli import main
from toolkit.runtime import load, verify
from toolkit.targets import recipe_files


@pytest.fixture
def job(tmp_path):
    return tiny_job(tmp_path)


def failed_checks(bundle):
    """Return what verify finds wrong, the CPU aside: any recipe can be built on any CPU."""
    return [check.name for check in verify(bundle).checks if not check.ok and check.name != "cpu"]


@pytest.mark.parametrize("target", recipe_files())
def test_every_target_gives_a_bundle_that_runs(job, target):
    assert job.quantize(target=recipe_with(job.root / "any.toml", target=target)) == 0
    assert failed_checks(job.out) == []
    assert load(job.out).embed(["the cat", "a dog"]).shape == (2, 32)


def test_inspect_tells_of_every_layer(job, capsys):
    assert job.quantize() == 0
    capsys.readouterr()
    assert main(["inspect", str(job.out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["linear"]) == 8  # two blocks, Q, K and V as one
    assert all(layer["why"] for layer in found["linear"])
    assert main(["inspect", str(job.out)]) == 0
    assert "int8" in capsys.readouterr().out


def test_a_classifier_from_its_folder_to_its_labels(tmp_path, capsys):
    job = tiny_job(tmp_path, head="classifier")
    assert job.quantize() == 0
    capsys.readouterr()
    (prediction, *_) = load(job.out).classify(["the cat sat"])[0]
    assert 1 / 3 <= prediction.score <= 1
