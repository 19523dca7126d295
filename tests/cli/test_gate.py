"""``edgequant gate`` on bundles and on pairs of ONNX files that edgequant did not make."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnxruntime.quantization import quantize_dynamic

from tests.cli import workplace
from toolkit.cli import main
from toolkit.sources import open_source

LIMITS = 'schema = 1\n\n[gate]\ndecision = "point"\n\n[gate.embedding]\ncosine_mean = {{ min = {} }}\n'


@dataclass(frozen=True)
class Place:
    """A folder with a float model, its bundle, and the same two as ONNX files beside a tokenizer."""

    folder: Path

    def gate(self, *more: object, model: str = "out/b", fp32: str = "model") -> int:
        """Run the command on two of the models."""
        data = ("--eval", self.folder / "evaluation.csv", "--threads", "1")
        return main(["gate", str(self.folder / model), str(self.folder / fp32), *map(str, (*data, *more))])

    def limits(self, least: float) -> Path:
        path = self.folder / f"limits-{least}.toml"
        path.write_text(LIMITS.format(least))
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    made = workplace(tmp_path_factory.mktemp("gate"))
    assert main(made.command()) == 0
    model = open_source(str(made.folder / "model")).model
    others = made.folder / "others"
    others.mkdir()
    ir.save(model, others / "float.onnx")
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(others / "float.onnx")), others / "float.onnx")
    quantize_dynamic(others / "float.onnx", others / "dynamic.onnx")
    for name in ("tokenizer.json", "config.json"):
        (others / name).write_bytes((made.folder / "model" / name).read_bytes())
    return Place(made.folder)


def test_a_bundle_by_its_float_model(place, capsys):
    assert place.gate("--limits", place.limits(0.5)) == 0
    out, _ = capsys.readouterr()
    assert "cosine_mean" in out
    assert "≥ 0.5" in out


def test_the_report_is_the_one_of_quantize(place, capsys):
    assert place.gate("--limits", place.limits(0.5), "--json") == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    manifest = json.loads((place.folder / "out" / "b" / "manifest.json").read_text())
    assert (report["schema"], report["passed"], report["decision"]) == (1, True, "point")
    assert report["model"] == manifest["gate"]["model"]
    values = [{verdict["metric"]: verdict["int8"] for verdict in one["verdicts"]} for one in (report, manifest["gate"])]
    assert values[0] == values[1]
    assert report["slices"]
    assert report["worst"]
    assert err.splitlines() == ["evaluate fp32", "evaluate int8"]


def test_two_files_that_edgequant_did_not_make(place, capsys):
    models = {"model": "others/dynamic.onnx", "fp32": "others/float.onnx"}
    assert place.gate("--limits", place.limits(0.5), "--json", **models) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"]["name"] == "dynamic"
    assert report["sizes"]["int8"] < report["sizes"]["fp32"]
    assert {verdict["metric"]: verdict["int8"] for verdict in report["verdicts"]}["cosine_mean"] < 1


def test_a_tokenizer_given_by_hand(place, tmp_path, capsys):
    for name in ("dynamic", "float"):
        (tmp_path / f"{name}.onnx").write_bytes((place.folder / "others" / f"{name}.onnx").read_bytes())
    data = ("--eval", str(place.folder / "evaluation.csv"), "--limits", str(place.limits(0.5)))
    command = ["gate", str(tmp_path / "dynamic.onnx"), str(tmp_path / "float.onnx"), *data]
    assert main(command) == 1
    assert "there is no tokenizer.json" in capsys.readouterr().err
    assert main([*command, "--tokenizer", str(place.folder / "others" / "tokenizer.json"), "--max-length", "32"]) == 0


def test_what_is_too_bad_exits_3_with_a_sentence(place, capsys):
    assert place.gate("--limits", place.limits(1.5)) == 3
    out, err = capsys.readouterr()
    assert "FAIL" in out
    assert "error: the int8 model is not accurate enough\n" in err
    assert "(is below 1.5)\n  expected: cosine_mean ≥ 1.5\n" in err


def test_too_few_rows_exit_3_with_another(place, capsys):
    assert place.gate("--limits", place.limits(0.5), "--decision", "interval") == 3
    out, err = capsys.readouterr()
    assert "UNDECIDED" in out
    assert "error: the evaluation data do not decide whether the int8 model is accurate enough\n" in err
    assert "more texts needed" in err
    assert "hint: give more rows to judge by" in err


@pytest.mark.parametrize("rows", [10, 30])
def test_undecided_tells_how_many_rows_are_missing(place, capsys, rows):
    limits = place.limits(0.5)
    assert place.gate("--limits", limits, "--decision", "interval", "--eval-samples", rows, "--json") == 3
    report = json.loads(capsys.readouterr().out)
    cosine = next(verdict for verdict in report["verdicts"] if verdict["metric"] == "cosine_mean")
    assert (cosine["outcome"], cosine["rows_needed"]) == ("undecided", 50 - rows)


def test_limits_are_read_strictly(place, tmp_path, capsys):
    path = tmp_path / "limits.toml"
    path.write_text(LIMITS.format(0.5) + "\n[gate.embeding]\n")
    assert place.gate("--limits", path) == 2
    assert "gate.embeding" in capsys.readouterr().err
    assert place.gate("--limits", tmp_path / "none.toml") == 2
    assert "there is no such file of limits" in capsys.readouterr().err
    assert place.gate("--limits", "x86-avx9") == 2
    assert "did you mean" in capsys.readouterr().err


def test_limits_of_a_target_by_name(place, capsys):
    place.gate("--limits", "x86-avx2", "--json")
    report = json.loads(capsys.readouterr().out)
    limits = {verdict["metric"]: verdict["limit"] for verdict in report["verdicts"]}
    assert (limits["cosine_mean"], report["decision"]) == ({"min": 0.992}, "interval")


def test_against_an_earlier_report(place, tmp_path, capsys):
    limits = ("--limits", place.limits(0.5))
    assert place.gate(*limits, "--json") == 0
    before = tmp_path / "before.json"
    report = json.loads(capsys.readouterr().out)
    before.write_text(json.dumps(report))
    assert place.gate(*limits, "--against", before) == 0
    assert f"against {before}" in capsys.readouterr().out
    for verdict in report["verdicts"]:
        verdict["int8"] = 1.9 if verdict["metric"] == "cosine_mean" else verdict["int8"]
    before.write_text(json.dumps(report))
    assert place.gate(*limits, "--against", before) == 3
    err = capsys.readouterr().err
    assert "error: the int8 model is worse than the one before\n" in err
    assert "expected: cosine_mean 1.9 as before" in err


def test_against_a_bundle(place, capsys):
    assert place.gate("--limits", place.limits(0.5), "--against", place.folder / "out" / "b") == 0
    assert "before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, 2, "the report cannot be read"),
        ("not json", 1, "JSON"),
        ("[]", 1, "not a gate report"),
        ('{"schema": 7}', 1, "of another schema"),
    ],
)
def test_what_is_no_earlier_report(place, tmp_path, capsys, content, code, said):
    path = tmp_path / "before.json"
    if content is not None:
        path.write_text(content)
    assert place.gate("--against", path) == code
    assert said in capsys.readouterr().err


def test_an_earlier_report_on_other_rows(place, tmp_path, capsys):
    limits = ("--limits", place.limits(0.5))
    assert place.gate(*limits, "--json", "--eval-samples", 5) == 0
    before = tmp_path / "before.json"
    before.write_text(capsys.readouterr().out)
    assert place.gate(*limits, "--against", before) == 2
    assert "the earlier report is on other rows" in capsys.readouterr().err


def test_a_bundle_of_an_unknown_model_needs_its_float_model(place, capsys):
    assert main(["gate", str(place.folder / "out" / "b")]) == 2
    assert "hint: name the model that it was made of" in capsys.readouterr().err


def test_a_float_model_that_is_int8_is_refused(place, capsys):
    assert place.gate(model="others/dynamic.onnx", fp32="others/dynamic.onnx") == 1
    assert "the ONNX model is quantized already" in capsys.readouterr().err


def test_an_altered_bundle_is_not_judged(place, tmp_path, capsys):
    copy = tmp_path / "b"
    copy.mkdir()
    for path in (place.folder / "out" / "b").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    model = bytearray((copy / "model.onnx").read_bytes())
    model[-5] ^= 1
    (copy / "model.onnx").write_bytes(model)
    assert main(["gate", str(copy), str(place.folder / "model")]) == 1
    assert "a file of the bundle was changed" in capsys.readouterr().err


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_the_same_bytes_on_every_run_and_with_any_number_of_threads(place, capsys, threads):
    reports = []
    for count in ("1", threads):
        assert place.gate("--limits", place.limits(0.5), "--json", "--threads", count) == 0
        reports.append(capsys.readouterr().out)
    assert reports[0] == reports[1]


def test_npz_is_no_model(place, tmp_path, capsys):
    np.savez(tmp_path / "model.npz", x=1)
    assert main(["gate", str(tmp_path / "model.npz"), str(place.folder / "model")]) == 2
    assert "a model is a folder or an .onnx file" in capsys.readouterr().err
