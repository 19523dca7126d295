"""Wrong input ends in one clear message with the right exit code, and leaves nothing half-written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs import recipe_with, tiny_job, write_lines
from tests.models import change_json
from toolkit.cli import main

USAGE, FAILURE = 2, 1


@pytest.fixture
def job(tmp_path):
    return tiny_job(tmp_path)


@pytest.fixture
def bundle(job, capsys):
    assert job.quantize() == 0
    capsys.readouterr()
    return job.out


def refused(job, capsys, code, *said, flags=(), **changed):
    """Run the command, check that it refuses in these words, and that nothing was left."""
    assert job.quantize(*flags, **changed) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    message = captured.err[captured.err.index("error: ") :]
    assert message.count("error: ") == 1
    assert "Traceback" not in message
    assert [words for words in said if words not in message] == [], message
    assert job.leftovers() == []


def test_a_missing_model(job, capsys):
    refused(job, capsys, USAGE, "there is no such model", "expected: ", model=job.root / "none.onnx")


def test_a_truncated_checkpoint(job, capsys):
    path = job.model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    refused(job, capsys, FAILURE, "model.safetensors", "hint: ")


def test_bad_json(job, capsys):
    (job.model / "config.json").write_text('{"model_type": "bert",')
    refused(job, capsys, FAILURE, "JSON", "config.json")


def test_an_unknown_architecture(job, capsys):
    change_json(job.model / "config.json", model_type="florgle", architectures=["FlorgleModel"])
    assert job.quantize() in (USAGE, FAILURE)  # optimum is asked, and may not be installed
    message = capsys.readouterr().err
    assert "florgle" in message.casefold()
    assert "hint: " in message
    assert job.leftovers() == []


def test_a_tokenizer_that_does_not_fit(job, capsys):
    path = job.model / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = vocabulary | {f"extra{i}": len(vocabulary) + i for i in range(50)}
    path.write_text(json.dumps(tokenizer))
    refused(job, capsys, FAILURE, "tokenizer", "hint: ")


def test_an_empty_calibration_set(job, capsys):
    (job.root / "calibration.jsonl").write_text("")
    refused(job, capsys, FAILURE, "calibration.jsonl")


def test_a_wrong_column(job, capsys):
    refused(job, capsys, USAGE, "tweet", "text", columns="text=tweet")


def test_columns_that_are_no_columns(job, capsys):
    with pytest.raises(SystemExit) as ended:
        job.quantize(columns="texttweet")
    assert ended.value.code == USAGE
    assert "ROLE=COLUMN" in capsys.readouterr().err


def test_a_text_that_is_not_utf8(job, capsys):
    path = job.root / "latin1.txt"
    path.write_bytes(b"the cat sat\nthe caf\xe9 was red\n")
    refused(job, capsys, FAILURE, "UTF-8", "latin1.txt", calibration=path)


def test_sets_that_overlap(job, capsys):
    refused(job, capsys, FAILURE, "hint: ", eval=job.root / "calibration.jsonl")


def test_labels_that_are_not_the_models(tmp_path, capsys):
    job = tiny_job(tmp_path, head="classifier")
    rows = [json.loads(line) | {"label": "weird"} for line in (tmp_path / "eval.jsonl").read_text().splitlines()]
    refused(job, capsys, FAILURE, "weird", "hint: ", eval=write_lines(tmp_path / "labelled.jsonl", rows))


def test_an_output_that_exists(job, capsys):
    job.out.mkdir(parents=True)
    (job.out / "mine.txt").write_text("keep")
    for flags in ((), ("--force",)):
        assert job.quantize(*flags) == USAGE
        assert "hint: " in capsys.readouterr().err
    assert [path.name for path in job.out.iterdir()] == ["mine.txt"]
    assert job.leftovers() == ["bundle"]


def test_an_unknown_target(job, capsys):
    refused(job, capsys, USAGE, "x86-avx9", "did you mean 'x86-avx2'?", target="x86-avx9")


def test_an_unknown_key_in_a_recipe(job, capsys):
    path = recipe_with(job.root / "typo.toml")
    path.write_text(path.read_text().replace("pair_saturation", "pair_saturatoin"))
    refused(job, capsys, USAGE, "typo.toml", "pair_saturatoin", "pair_saturation", target=path)


def test_an_unknown_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["quantise"])
    assert ended.value.code == USAGE
    assert "quantise" in capsys.readouterr().err


def test_limits_that_cannot_be_met(job, capsys):
    gate = "[gate.embedding]\ncosine_min = { min = 0.9999999 }\n\n[gate.classification]\n\n"
    strict = recipe_with(job.root / "strict.toml", gate)
    assert job.quantize(target=strict) == 3
    message = capsys.readouterr().err
    assert "cosine_min" in message
    assert "hint: " in message
    assert job.leftovers() == []
    assert job.quantize("--keep-rejected", target=strict) == 3
    assert job.leftovers() == ["bundle.rejected"]


def test_a_full_disk(job):
    unshare = shutil.which("unshare")
    mode = "-m" if os.geteuid() == 0 else "-rm"
    probe = [unshare or "false", mode, "mount", "-t", "tmpfs", "tmpfs", str(job.root)]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this host allows no private mounts (unshare), so that a small file system cannot be made")
    small = job.root / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=32k tmpfs "$0" && { "$@"; code=$?; echo "left: $(ls -A "$0")" >&2; exit $code; }'
    command = [sys.executable, "-m", "toolkit.cli", *job.arguments(out=small / "bundle")]
    ended = subprocess.run(
        [str(unshare), mode, "sh", "-c", script, str(small), *command], capture_output=True, text=True, check=False
    )
    assert ended.returncode == FAILURE, ended.stderr
    assert "error: no space left on device" in ended.stderr
    assert "hint: free some space" in ended.stderr
    assert ended.stderr.endswith("left: \n")


def corruptions():
    def flip(path):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))

    yield "flipped bit", "model.onnx", flip
    yield "cut off", "model.onnx", lambda path: path.write_bytes(path.read_bytes()[:-10])
    yield "missing", "tokenizer.json", Path.unlink
    yield "no JSON", "manifest.json", lambda path: path.write_text("{")


@pytest.mark.parametrize(("name", "file", "damage"), list(corruptions()), ids=lambda value: str(value)[:12])
def test_a_corrupt_bundle(bundle, capsys, name, file, damage):
    damage(bundle / file)
    assert main(["verify", str(bundle)]) == FAILURE
    assert f"FAIL  {file}" in capsys.readouterr().out
    if name != "flipped bit":  # which only verify's digests can see
        assert main(["embed", str(bundle), str(bundle / "quantization.json"), "--input-format", "txt"]) == FAILURE
        assert file in capsys.readouterr().err
