"""Sentence classification of real weights, from the model's folder and the user's own files to judged labels."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import sentiment_probe
from toolkit.cli import main
from toolkit.errors import MissingExtraError
from toolkit.runtime import load, verify
from toolkit.samples import load_samples
from toolkit.sources import demo_model

pytestmark = pytest.mark.slow
SHARED = Path(__file__).parent.parent.parent / "shared"


@pytest.fixture(scope="module")
def demo() -> Path:
    try:
        return demo_model()
    except MissingExtraError as error:
        pytest.skip(str(error))


def quantized(capsys, model: Path, out: Path, *more: str) -> dict[str, dict[str, float]]:
    """Run the command, which passes its gate, and return its verdicts by metric."""
    command = ["quantize", model, "-t", "x86-avx2", "-o", out, "--json", "--no-speed", "--threads", "2", *more]
    assert main(list(map(str, command))) == 0
    report = json.loads(capsys.readouterr().out)["gate"]
    assert report["passed"] is True
    return {verdict["metric"]: verdict for verdict in report["verdicts"]}


def test_a_sentiment_probe_on_the_shipped_set(demo, tmp_path, capsys):
    model = sentiment_probe(tmp_path / "probe", demo)
    # All rows, because a probe has small margins: 2 % of its labels flip, which 400 rows show as anything from
    # 1 to 3.3 %, on either side of the recipe's limit.
    found = quantized(capsys, model, tmp_path / "b")
    assert found["accuracy"]["fp32"] > 0.65  # chance gives 0.5 ± 0.013
    assert found["accuracy"]["int8"] >= found["accuracy"]["fp32"] - 0.01
    assert found["label_flips"]["int8"] <= 0.03
    # What the gate counted is what the shipped runtime says.
    rows = load_samples("vader-sentiment", "evaluation")
    said = [best.label for (best, *_) in load(tmp_path / "b", threads=2).classify(rows.texts)]
    right = sum(label == gold for label, gold in zip(said, rows.labels, strict=True))
    assert right / len(said) == pytest.approx(found["accuracy"]["int8"], abs=1e-6)


@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="needs ../shared with its models and data")
def test_an_emotion_classifier_on_files_of_ones_own(demo, tmp_path, capsys):
    model = tmp_path / "emotion"
    assemble = [sys.executable, SHARED / "models" / "assemble.py", "minilm-emotion", model, "--base", demo]
    subprocess.run(assemble, check=True, capture_output=True)
    calibration = emotions("val", tmp_path / "calibration.csv", 150)
    evaluation = emotions("test", tmp_path / "evaluation.csv", 800)
    data = ("--calibration", calibration, "--eval", evaluation, "--columns", "text=tweet,label=feeling")
    found = quantized(capsys, model, tmp_path / "b", *data)
    assert found["accuracy"]["fp32"] == pytest.approx(0.806, abs=0.05)
    assert found["accuracy"]["int8"] >= found["accuracy"]["fp32"] - 0.01
    assert found["macro_f1"]["int8"] >= found["macro_f1"]["fp32"] - 0.015
    assert found["size_ratio"]["int8"] <= 0.35
    failed = [check.name for check in verify(tmp_path / "b").checks if not check.ok and check.name != "cpu"]
    assert failed == []
    (best, *_) = load(tmp_path / "b").classify(["I am so happy today, what a wonderful surprise!"])[0]
    assert best.label == "joy"


def emotions(part: str, path: Path, count: int) -> Path:
    """Write the first rows of a part of TweetEval's emotion set as csv, labels by number."""
    folder = SHARED / "data" / "tweeteval" / "emotion"
    texts, labels = (
        (folder / f"{part}_{kind}.txt").read_text(encoding="utf-8").splitlines() for kind in ("text", "labels")
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("tweet", "feeling"))
        writer.writerows(list(zip(texts, labels, strict=True))[:count])
    return path
