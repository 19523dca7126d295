import errno
import io
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

import toolkit
from tests.runtime.server import bert_bundle
from tests.runtime.tiny import DIMENSION, text_model
from toolkit.runtime import Windows, load, text_commands
from toolkit.runtime.__main__ import main
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.failures import run_command

TEXTS = ["the cat sat on the mat", "", "a dog ran", "dog"]
ROOT = Path(toolkit.__file__).parent.parent


@pytest.fixture
def texts(tmp_path: Path) -> str:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return str(path)


def test_embed_writes_jsonl_to_stdout_in_order(bundle, texts, capsysbinary, monkeypatch):
    monkeypatch.setattr(text_commands, "CHUNK", 3)
    assert main(["embed", str(bundle), texts]) == 0
    out, err = capsysbinary.readouterr()
    lines = [json.loads(line) for line in out.decode().splitlines()]
    assert [line["text"] for line in lines] == TEXTS
    np.testing.assert_allclose([line["embedding"] for line in lines], text_model().run(TEXTS), atol=1e-6)
    assert err == b""


@pytest.mark.parametrize("arguments", [["-o", "v.npy"], ["-o", "v.bin", "--format", "npy"]])
def test_embed_writes_npy(bundle, texts, capsys, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert main(["embed", str(bundle), texts, *arguments, "--threads", "1"]) == 0
    np.testing.assert_allclose(np.load(arguments[1]), text_model().run(TEXTS), atol=1e-6)
    assert capsys.readouterr() == ("", f"4 texts -> {arguments[1]}\n")


def test_embed_reads_stdin(bundle, capsysbinary, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"body": "a cat"}\n')))
    assert main(["embed", str(bundle), "--input-format", "jsonl", "--field", "body", "--format", "npy"]) == 0
    assert np.load(io.BytesIO(capsysbinary.readouterr().out)).shape == (1, DIMENSION)


LONG = "the cat sat on the mat " * 9


def lines_of(capsysbinary):
    return [json.loads(line) for line in capsysbinary.readouterr().out.decode().splitlines()]


def test_windows_and_thresholds_are_those_of_the_engines(bundle, classifier_bundle, tmp_path, capsysbinary):
    path = tmp_path / "long.txt"
    path.write_text(f"a cat\n{LONG}\n")
    texts = ["a cat", LONG]
    for arguments, windows in ([], None), (["--windows"], Windows()), (["--windows", "--overlap", "1"], Windows(1)):
        assert main(["embed", str(bundle), str(path), *arguments]) == 0
        vectors = [line["embedding"] for line in lines_of(capsysbinary)]
        np.testing.assert_allclose(vectors, load(bundle).embed(texts, windows=windows), atol=1e-6)
    command = ["classify", str(classifier_bundle), str(path), "--windows", "--combine", "max"]
    assert main([*command, "--threshold", "0.2", "--threshold", "joy=0.9"]) == 0
    least = {"joy": 0.9, "anger": 0.2, "fear": 0.2, "none": 0.2}
    expected = load(classifier_bundle).classify(texts, threshold=least, windows=Windows(combine="max"))
    found = [[entry["label"] for entry in line["labels"]] for line in lines_of(capsysbinary)]
    assert found == [[kept.label for kept in row] for row in expected]
    assert any(found)


def test_entities_past_the_cut_are_found_with_windows(tmp_path, capsysbinary):
    folder, path = tmp_path / "tokens", tmp_path / "long.txt"
    bert_bundle(folder, "tokens")
    text = "the big red dog ran under the blue tree and was good " * 30
    path.write_text(text + "\n")
    ends = []
    for arguments in ([], ["--windows"]):
        assert main(["entities", str(folder), str(path), *arguments]) == 0
        (line,) = lines_of(capsysbinary)
        assert all(text[e["start"] : e["end"]] == e["text"] for e in line["entities"])
        ends.append(max(e["end"] for e in line["entities"]))
    assert ends[0] < ends[1]


def test_classify(classifier_bundle, texts, capsysbinary, tmp_path):
    assert main(["classify", str(classifier_bundle), texts, "--top-k", "2"]) == 0
    lines = [json.loads(line) for line in capsysbinary.readouterr().out.decode().splitlines()]
    assert [line["text"] for line in lines] == TEXTS
    for line in lines:
        first, second = line["labels"]
        assert 1 > first["score"] >= second["score"] > 0
    out = tmp_path / "o.jsonl"
    assert main(["classify", str(classifier_bundle), texts, "-o", str(out)]) == 0
    assert len(json.loads(out.read_text().splitlines()[0])["labels"]) == 4


def test_verify_prints_a_table_or_json(bundle, capsys):
    assert main(["verify", str(bundle), "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("tiny (embedding) for test\n  ok    manifest.json")
    assert out.endswith("verified: fit to run here\n")
    (bundle / "model.onnx").unlink()
    assert main(["verify", str(bundle)]) == 1
    out = capsys.readouterr().out
    assert "FAIL  model.onnx" in out
    assert "NOT verified" in out
    assert main(["verify", str(bundle), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def failed(capsys, arguments: list[str], code: int) -> str:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    return err


def test_wrong_bundles(bundle, classifier_bundle, texts, capsys, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    for command in ("embed", "classify", "verify"):
        assert "there is no such bundle" in failed(capsys, [command, nowhere], 2)
    assert "use the command embed" in failed(capsys, ["classify", str(bundle), texts], 2)
    assert "use the command classify" in failed(capsys, ["embed", str(classifier_bundle), texts], 2)
    (bundle / "manifest.json").write_text("{")
    assert "not valid JSON" in failed(capsys, ["embed", str(bundle), texts], 1)


def test_wrong_inputs_and_outputs_leave_no_file(bundle, classifier_bundle, texts, capsys, tmp_path):
    out = str(tmp_path / "out" / "o.jsonl")
    (tmp_path / "bad.txt").write_bytes(b"a\n\xff\n")
    assert "no such file" in failed(capsys, ["embed", str(bundle), "none.txt"], 2)
    assert "add --windows" in failed(capsys, ["embed", str(bundle), texts, "--overlap", "2"], 2)
    wide = ["embed", str(bundle), texts, "--windows", "--overlap", "14"]
    assert "overlap of windows is too large" in failed(capsys, wide, 2)
    label = ["classify", str(classifier_bundle), texts, "--threshold", "glee=0.5"]
    assert "the model has not" in failed(capsys, label, 2)
    assert "hint: check the path" in failed(capsys, ["embed", str(bundle), texts, "-o", out], 1)
    assert "is a directory" in failed(capsys, ["embed", str(bundle), texts, "-o", str(tmp_path)], 1)
    (tmp_path / "out").mkdir()
    assert "bad.txt:2" in failed(capsys, ["embed", str(bundle), str(tmp_path / "bad.txt"), "-o", out], 1)
    assert list((tmp_path / "out").iterdir()) == []


def test_npy_is_not_for_the_terminal(bundle, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "not for the terminal" in failed(capsys, ["embed", str(bundle), "--format", "npy"], 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed", "b", "--threads", "0"], "'0' is not a whole number of at least 1"),
        (["classify", "b", "--top-k", "x"], "'x' is not a whole number of at least 1"),
        (["embed", "b", "--format", "csv"], "invalid choice"),
        (["embed", "b", "--overlap", "-1"], "'-1' is not a whole number"),
        (["classify", "b", "--threshold", "joy=2"], "'joy=2' is not a number from 0 to 1"),
        (["classify", "b", "--threshold", "nan"], "'nan' is not a number from 0 to 1"),
        ([], "required: COMMAND"),
    ],
)
def test_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def fail(error: BaseException) -> Namespace:
    def run(_args: Namespace) -> int:
        raise error

    return Namespace(run=run)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("no", hint="yes"), 2, "error: no\n  hint: yes\n"),
        (BundleError("broken"), 1, "error: broken\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            MemoryError("of 9 bytes"),
            1,
            "error: not enough memory\n  got: of 9 bytes\n  hint: use fewer threads",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "o"),
            1,
            "error: no space left on device\n  where: o\n  hint: free",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "o"),
            1,
            "error: permission denied\n  where: o\n  hint: check",
        ),
        (OSError("odd"), 1, "error: odd\n"),
        (
            KeyError("x"),
            1,
            "error: unexpected KeyError: 'x'\n  hint: this is a bug: set EDGEQUANT_TRACEBACK=1",
        ),
    ],
)
def test_every_failure_is_words_and_an_exit_code(error, code, message, capsys, monkeypatch):
    monkeypatch.delenv("EDGEQUANT_TRACEBACK", raising=False)
    assert run_command(fail(error)) == code
    assert capsys.readouterr().err.startswith(message)


def test_traceback_on_request(capsys, monkeypatch):
    monkeypatch.setenv("EDGEQUANT_TRACEBACK", "1")
    assert run_command(fail(KeyError("x"))) == 1
    assert capsys.readouterr().err.startswith("Traceback")


def start(*arguments: str, **streams: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "toolkit.runtime", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, **streams,
    )  # fmt: skip


def test_alone_in_a_pipe(bundle):
    process = start("embed", str(bundle), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, err = process.communicate("a cat\nthe dög\n".encode())
    assert (process.returncode, err) == (0, b"")
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["a cat", "the dög"]


def test_reader_that_goes_away_is_no_error(bundle, tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("a cat\n" * 5000)
    process = start("embed", str(bundle), str(path), stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_full_disk(bundle, texts):
    process = start("embed", str(bundle), texts, stdout=subprocess.DEVNULL)
    process.communicate()
    assert process.returncode == 0
    process = start("embed", str(bundle), texts, "-o", "/dev/full")
    assert b"no space left" in process.communicate()[1]
    assert process.returncode == 1


def test_full_disk_behind_stdout(bundle, texts):
    with Path("/dev/full").open("wb") as full:
        process = start("embed", str(bundle), texts, stdout=full)
        err = process.communicate()[1]
    assert err == b"error: no space left on device\n  hint: free some space, or write elsewhere\n"
    assert process.returncode == 1
