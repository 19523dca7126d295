"""``edgequant compare`` as a whole on a tiny model, and ``quantize --engine``."""

import json
from importlib.util import find_spec

import pytest

from tests.cli import workplace
from toolkit.cli import main
from toolkit.compare import remote
from toolkit.compare.remote import Remote, Runnable
from toolkit.engines.catalog import ENGINES
from toolkit.runtime.errors import EngineError
from toolkit.runtime.manifest import SessionInfo
from toolkit.sources import open_source
from toolkit.subjects import source_subject

QUICK = "native,onnxruntime-dynamic"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.compare.measuring.ROUNDS", 2)
    monkeypatch.setattr("toolkit.compare.measuring.ROUND_SECONDS", 0.001)
    return workplace(tmp_path)


def command(place, *more):
    sets = ("--calibration", place.folder / "calibration.jsonl", "--eval", place.folder / "evaluation.csv")
    given = (place.folder / "model", "--target", place.folder / "loose.toml", *sets, "--threads", "1", *more)
    return ["compare", *map(str, given)]


def rows_of(report):
    return {row["engine"]: row for row in report["rows"] if not row["note"] or row["status"] != "ran"}


def test_every_engine_has_a_row(place, capsys):
    engines = f"{QUICK},neural-compressor,optimum"
    missing = {name for name in ("optimum",) if not _installed(name)}
    code = main(command(place, "--engines", engines, "--json", "--alike"))
    report = json.loads(capsys.readouterr().out)
    rows = rows_of(report)
    assert list(rows) == ["fp32", "native", "onnxruntime-dynamic", "neural-compressor", "optimum"]
    assert {name for name, row in rows.items() if row["status"] == "not installed"} >= missing
    for name, row in rows.items():
        if row["status"] == "not installed":
            assert row["note"].startswith("pip install"), name
            assert row["quality"] is None
            continue
        assert row["status"] == "ran", row
        assert [(pace["batch"], pace["length"]) for pace in row["paces"]] == [(1, 16), (1, 48), (8, 48)]
        assert row["run_peak_bytes"] > 10_000_000
        assert 0.5 < row["quality"]["cosines"]["min"] <= row["quality"]["cosines"]["mean"] <= 1.0001
    assert rows["fp32"]["paces"][0]["ratio"] == 1
    assert rows["fp32"]["quality"]["cosines"]["min"] == pytest.approx(1)
    assert rows["native"]["bytes"] < rows["fp32"]["bytes"]
    assert (
        rows["native"]["quality"]["batch_difference"]
        < 1e-5
        < rows["onnxruntime-dynamic"]["quality"]["batch_difference"]
    )
    twice = [row for row in report["rows"] if row["note"] == "the recipe's session settings"]
    assert [row["engine"] for row in twice][:2] == ["fp32", "onnxruntime-dynamic"]
    assert twice[1]["quality"] == rows["onnxruntime-dynamic"]["quality"]
    assert code == 0


def _installed(name):
    return all(find_spec(module.partition(".")[0]) for module in ENGINES[name].needs)


def test_another_float_graph_for_the_others(place, capsys):
    """The graph of --export is what fp32 and the others are; the table says whose it is."""
    source = open_source(str(place.folder / "model"))
    folder = place.folder / "export"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(source_subject(source).model)
    (folder / "tokenizer.json").write_text(source.tokenizer_json)
    engines = "native,neural-compressor"
    assert main(command(place, "--engines", engines, "--export", folder / "model.onnx", "--markdown")) == 0
    printed = capsys.readouterr().out
    assert "; float graph by onnx file; of the engine native by edgequant" in printed
    assert "x at 1x16 1x48 8x48" in printed
    assert "\n| neural-compressor | not installed |" in printed
    assert "neural-compressor: neural-compressor, static QDQ, its defaults. not installed: pip install" in printed


def test_an_engine_that_fails_is_a_row_and_exit_1(place, capsys):
    says = 'case "$3" in *lacking*) echo "lacking []";; *) echo "it broke" >&2; exit 3;; esac'
    python = place.write("python", f"#!/bin/sh\n{says}\n")
    python.chmod(0o755)
    arguments = ("--engines", "neural-compressor", "--engine-python", f"neural-compressor={python}")
    assert main(command(place, *arguments)) == 1
    printed = capsys.readouterr().out
    assert "FAILED: the engine neural-compressor built no model" in printed
    assert "it broke" in printed


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--engines", "native,onnxruntim"), "there is no such engine"),
        (("--engine-python", "optimun=/usr/bin/python3"), "there is no such engine"),
        (("--engine-python", "optimum=/no/such/python"), "there is no such Python"),
    ],
)
def test_what_is_typed_wrong(place, capsys, more, said):
    assert main(command(place, *more)) == 2
    assert said in capsys.readouterr().err


def test_a_model_that_cannot_be_loaded_is_told(tmp_path, here):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(EngineError, match="Protobuf"):
        Remote(Runnable(tmp_path / "bad.onnx", "onnxruntime", SessionInfo()), here)


def test_a_process_that_dies_is_told(tmp_path, here, monkeypatch):
    monkeypatch.setattr(remote, "_RUN", "raise SystemExit('gone')")
    with pytest.raises(EngineError, match="gone"):
        Remote(Runnable(tmp_path / "any.onnx", "onnxruntime", SessionInfo()), here)


def test_quantize_by_another_engine(place, capsys):
    """The bundle, its gate and its golden vectors are as ever; who quantized stands in it."""
    assert main(place.command("--engine", "onnxruntime")) == 0
    assert "engine    onnxruntime 1." in capsys.readouterr().out
    assert main(["verify", str(place.out)]) == 0
    assert main(["inspect", str(place.out)]) == 0
    assert "was quantized by onnxruntime 1." in capsys.readouterr().out
    manifest = json.loads((place.out / "manifest.json").read_text())
    assert manifest["provenance"]["engine"].startswith("onnxruntime 1.")
    assert manifest["gate"]["passed"] is True


def test_what_another_engine_does_not_have(place, capsys):
    assert main(place.command("--engine", "onnxruntime", "--tune")) == 2
    assert "the engine onnxruntime has no --tune" in capsys.readouterr().err


def test_the_recipe_names_the_engine(place, capsys):
    text = (place.folder / "loose.toml").read_text()
    table = '[quantization]\nengine = "neural-compressor"'
    recipe = place.write("engine.toml", text.replace("[quantization]", table, 1))
    if _installed("neural-compressor"):
        pytest.skip("neural-compressor is installed here")
    assert main(place.command(target=recipe)) == 2
    assert "the engine neural-compressor is not installed" in capsys.readouterr().err
    assert main(place.command("--engine", "native", target=recipe)) == 0
    bad = place.write("bad.toml", recipe.read_text().replace('"neural-compressor"', '"olive"'))
    assert main(place.command(target=bad)) == 2
    assert "quantization.engine" in capsys.readouterr().err
