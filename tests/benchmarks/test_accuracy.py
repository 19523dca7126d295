"""benchmarks/accuracy.py: it reads its data rightly, and says what is missing."""

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "accuracy.py"


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("accuracy", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "accuracy", module)
    spec.loader.exec_module(module)
    return module


def test_without_the_models_it_says_so(script, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["accuracy.py", "--shared", str(tmp_path)])
    assert script.main() == 2
    assert "nothing to measure" in capsys.readouterr().err


def test_pairs_that_were_calibrated_on_are_left_out(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "SEMEVAL", ("surprise.OnWN",))
    (tmp_path / "STS.input.surprise.OnWN.txt").write_text("a\tb\nc\td\ne\x0bf\tg\n", encoding="utf-8")
    (tmp_path / "STS.gs.surprise.OnWN.txt").write_text("5.0\n1.5\n0\n", encoding="utf-8")
    (path,) = script.semeval_sets(tmp_path, tmp_path, {"d", "x"})
    assert path.name == "OnWN.csv"
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["text", "text2", "score"], ["a", "b", "5.0"], ["e\x0bf", "g", "0"]]


def test_the_table(script):
    numbers = {"accuracy of fp32": 0.8061, "accuracy": 0.8, "label_flips": 0.01, "cosine min": 0.99}
    row = script.Row("emotion", "x86-avx2", "avx2 (masked)", "9 rows of e", numbers, (2.0, 1.75, 1.8))
    assert list(script.table([row]))[-1] == (
        "| emotion | x86-avx2 | avx2 (masked) | 9 rows of e | accuracy of fp32 80.61, accuracy 80.00, "
        "label_flips 1.00, cosine min 0.9900 | 2.00 1.75 1.80 |"
    )
