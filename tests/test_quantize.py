"""The whole command: reproducible, atomic, and saying on stdout only what was asked for."""

import json
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from tests.jobs import recipe_with, tiny_job
from toolkit.cli import main
from toolkit.runtime import load, verify
from toolkit.targets import recipe_files


@pytest.fixture
def job(tmp_path):
    return tiny_job(tmp_path)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def failed_checks(bundle):
    """Return what verify finds wrong, the CPU aside: any recipe can be built on any CPU."""
    return [check.name for check in verify(bundle).checks if not check.ok and check.name != "cpu"]


def test_two_runs_give_the_same_bytes(job):
    first, second = job.root / "one", job.root / "two"
    for out in (first, second):
        assert job.quantize("--archive", "gz", out=out) == 0
        assert job.quantize("--archive", "zst", "--force", out=out) == 0
    assert content(first) == content(second)
    for suffix in ("gz", "zst"):
        assert (job.root / f"one.tar.{suffix}").read_bytes() == (job.root / f"two.tar.{suffix}").read_bytes()


def test_an_archive_unpacks_to_the_bundle(job):
    assert job.quantize("--archive", "gz") == 0
    archive = job.out.with_name("bundle.tar.gz")
    with tarfile.open(archive) as tar:
        assert {(entry.mtime, entry.uid, entry.gid, entry.mode) for entry in tar} == {(0, 0, 0, 0o644)}
        tar.extractall(job.root / "unpacked", filter="data")
    assert content(job.root / "unpacked") == content(job.out)
    assert failed_checks(job.root / "unpacked") == []


@pytest.mark.parametrize("target", recipe_files())
def test_every_target_gives_a_bundle_that_runs(job, target):
    assert job.quantize(target=recipe_with(job.root / "any.toml", target=target)) == 0
    assert failed_checks(job.out) == []
    assert load(job.out).embed(["the cat", "a dog"]).shape == (2, 32)


def test_json_is_all_that_stdout_holds(job, capsys):
    assert job.quantize("--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["out"] == str(job.out)
    assert report["gate"]["passed"] is True
    assert json.loads((job.out / "manifest.json").read_text())["gate"] == report["gate"]


def test_inspect_tells_of_every_layer(job, capsys):
    assert job.quantize() == 0
    capsys.readouterr()
    assert main(["inspect", str(job.out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["linear"]) == 8  # two blocks, Q, K and V as one
    assert all(layer["why"] for layer in found["linear"])
    assert main(["inspect", str(job.out)]) == 0
    assert "int8" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["targets", "sets", "doctor"])
def test_what_there_is_can_be_read_by_machines(command, capsys):
    assert main([command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main([command]) == 0
    assert capsys.readouterr().err == ""


def test_a_classifier_from_its_folder_to_its_labels(tmp_path, capsys):
    job = tiny_job(tmp_path, head="classifier")
    assert job.quantize() == 0
    capsys.readouterr()
    (prediction, *_) = load(job.out).classify(["the cat sat"])[0]
    assert 1 / 3 <= prediction.score <= 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["early", "while writing", "late"])
def test_a_kill_leaves_no_half_bundle(job, number, moment):
    process = subprocess.Popen(
        [sys.executable, "-m", "toolkit.cli", *job.arguments()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    waited = time.monotonic()
    while process.poll() is None and time.monotonic() - waited < 120:
        writing = any(name.startswith(".bundle.partial") for name in job.leftovers())
        if moment == "early" or (moment == "while writing" and writing) or (moment == "late" and job.out.exists()):
            break
        time.sleep(0.0005)
    process.send_signal(number)
    process.wait(60)
    if job.out.exists():
        assert failed_checks(job.out) == []
    if number == signal.SIGTERM:
        assert [name for name in job.leftovers() if name != "bundle"] == []
