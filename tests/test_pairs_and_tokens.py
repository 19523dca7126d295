"""Reranking and token classification, from a model's folder to answers of the shipped runtime."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.jobs import tiny_job
from tests.models import WORDS
from toolkit.cli import main
from toolkit.runtime import Reranker, TokenClassifier, load, verify
from toolkit.runtime.bundle import open_bundle
from toolkit.sources import demo_model

SHARED = Path(__file__).parents[2] / "shared"


def said(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_reranker(tmp_path, capsys):
    folder = tiny_job(tmp_path, head="reranker")
    rows = [f"the {word},a {other},{place}" for place, word in enumerate(WORDS) for other in WORDS[:4]]
    pairs = tmp_path / "eval.csv"
    pairs.write_text("\n".join(["text,text2,score", *rows]) + "\n", encoding="utf-8")
    assert folder.quantize(eval=pairs) == 0
    assert "spearman" in capsys.readouterr().out
    manifest = open_bundle(folder.out).manifest
    assert (manifest.task, manifest.labels, len(manifest.golden.pairs)) == ("reranking", (), 8)
    assert all(check.ok for check in verify(folder.out).checks)
    reranker = load(folder.out)
    assert isinstance(reranker, Reranker)
    texts = tmp_path / "texts.txt"
    texts.write_text("a dog\na cat\n", encoding="utf-8")
    assert main(["rerank", str(folder.out), str(texts), "--query", "the cat"]) == 0
    found = said(capsys)
    assert [row["text"] for row in found] == [
        ["a dog", "a cat"][each.index] for each in reranker.rank("the cat", ["a dog", "a cat"])
    ]
    assert found[0]["score"] >= found[1]["score"]
    assert main(["rerank", str(folder.out), str(texts), "--query", "the cat", "--top-k", "1"]) == 0
    assert said(capsys) == found[:1]


def test_a_reranker_needs_pairs_to_be_judged_on(tmp_path, capsys):
    folder = tiny_job(tmp_path, head="reranker")
    assert folder.quantize() == 1
    assert "a reranker is judged on pairs of texts" in capsys.readouterr().err


def test_a_token_classifier(tmp_path, capsys):
    folder = tiny_job(tmp_path, head="tokens")
    tagged = tmp_path / "eval.jsonl"
    rows = [{"tokens": ["a", one, two], "tags": ["O", "B-x", "I-x"]} for one in WORDS for two in WORDS[:4]]
    tagged.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert folder.quantize(eval=tagged) == 0
    assert "entity_f1" in capsys.readouterr().out
    manifest = open_bundle(folder.out).manifest
    assert (manifest.task, manifest.labels) == ("token-classification", ("O", "B-x", "I-x"))
    assert {len(row) % 3 for row in manifest.golden.outputs} == {0}
    assert all(check.ok for check in verify(folder.out).checks)
    classifier = load(folder.out)
    assert isinstance(classifier, TokenClassifier)
    texts = tmp_path / "texts.txt"
    texts.write_text("the cat sat on the red mat\n", encoding="utf-8")
    assert main(["entities", str(folder.out), str(texts)]) == 0
    (row,) = said(capsys)
    (expected,) = classifier.entities([row["text"]])
    assert [(e["start"], e["end"], e["text"]) for e in row["entities"]] == [(e.start, e.end, e.text) for e in expected]
    assert main(["embed", str(folder.out), str(texts)]) == 2
    assert "use the command entities" in capsys.readouterr().err


def test_a_token_classifier_of_other_tags_is_told(tmp_path, capsys):
    folder = tiny_job(tmp_path, head="tokens")
    tagged = tmp_path / "eval.csv"
    tagged.write_text("text,tags\na cat,O B-animal\n", encoding="utf-8")
    assert folder.quantize(eval=tagged) == 1
    assert "the evaluation set's tags are not the model's" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="needs ../shared with its models and data")
@pytest.mark.parametrize(
    ("name", "metric", "expected"), [("minilm-stsb-cross", "spearman", 0.821), ("minilm-wnut-ner", "entity_f1", 0.411)]
)
def test_fine_tuned_models(tmp_path, capsys, name, metric, expected):
    model, out = tmp_path / "m", tmp_path / "b"
    assemble = [sys.executable, SHARED / "models" / "assemble.py", name, model, "--base", demo_model()]
    subprocess.run(assemble, check=True, capture_output=True)
    command = ["quantize", model, "-t", "x86-avx2", "-o", out, "--json", "--no-speed", "--threads", "2"]
    assert main(list(map(str, command))) == 0
    (found,) = (v for v in json.loads(capsys.readouterr().out)["gate"]["verdicts"] if v["metric"] == metric)
    assert found["fp32"] == pytest.approx(expected, abs=0.001)
    if name == "minilm-stsb-cross":
        assert found["int8"] == pytest.approx(found["fp32"], abs=0.005)
        scores = load(out).score("A man is eating", ["Somebody is having a meal", "A plane takes off"])
        assert np.argmax(scores) == 0
    else:
        assert found["int8"] == pytest.approx(found["fp32"], abs=0.01)
        assert found["interval"]["high"] > -0.005  # a loss within half a point: 30 tags of 23,000 move F1 by as much
        (entities,) = load(out).entities(["Anna flew from Berlin to Paris"])
        assert {(e.text, e.label) for e in entities} >= {("Berlin", "location"), ("Paris", "location")}
