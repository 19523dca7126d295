"""`edgequant quantize`, `gate`, `inspect` and `report` of a causal language model, stories260k."""

import json
import shutil
from pathlib import Path

import pytest

from toolkit.cli import main
from toolkit.runtime.bundle import open_bundle
from toolkit.samples import load_samples

STORIES = Path(__file__).parents[1] / "golden" / "stories260k"
CALIBRATION = ["--calibration", "tinystories", "--calibration-samples", "8"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """The beginnings of sixty stories, a line each."""
    path = tmp_path_factory.mktemp("texts") / "stories.txt"
    stories = load_samples("tinystories", "evaluation", limit=60).texts
    path.write_text("".join(" ".join(story[:240].split()) + "\n" for story in stories), encoding="utf-8")
    return ["--eval", str(path)]


@pytest.fixture(scope="module")
def quantize(texts):
    def run(out, *more, target="x86-avx2"):
        given = ["quantize", STORIES, "-t", target, "-o", out, *texts, *CALIBRATION, *more]
        return main(list(map(str, given)))

    return run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, quantize):
    out = tmp_path_factory.mktemp("causal") / "stories"
    assert quantize(out, "--bits", "8", "--json") == 0
    return out


def test_a_bundle_and_what_to_type_next(quantize, tmp_path, capsys):
    out = tmp_path / "stories"
    page = tmp_path / "page.html"
    assert quantize(out, "--archive", "gz", "--html", page) == 0
    printed = capsys.readouterr().out
    assert "stories260k for x86-avx2, judged on 60 rows of stories.txt, int4 on this CPU" in printed
    assert "layers    20 in 4 bits, 6 in 8, blocks of 32, GPTQ rounding" in printed
    assert f"edgequant generate {out} 'Once upon a time'" in printed
    assert (tmp_path / "stories.tar.gz").is_file()
    assert "perplexity_ratio" in page.read_text(encoding="utf-8")
    assert open_bundle(out).manifest.provenance["calibration"]["name"] == "tinystories"
    assert quantize(out) == 2
    assert "exists" in capsys.readouterr().err


def test_eight_bits_need_no_calibration(bundle, capsys):
    manifest = open_bundle(bundle).manifest
    assert "calibration" not in manifest.provenance
    assert manifest.gate["passed"] is True
    assert main(["inspect", str(bundle)]) == 0
    printed = capsys.readouterr().out
    assert "blocks of 32, plain rounding" in printed
    assert "1 x int8: The table is the output layer's own weight" in printed
    assert main(["report", str(bundle)]) == 0
    assert "next_token_agreement" in capsys.readouterr().out


def test_the_gate_judges_a_bundle_again(bundle, texts, tmp_path, capsys):
    judge = ["gate", str(bundle), str(STORIES), *texts]
    assert main([*judge, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdicts"] == json.loads((bundle / "manifest.json").read_text())["gate"]["verdicts"]
    limits = tmp_path / "limits.toml"
    limits.write_text("schema = 1\n[gate]\n[gate.text-generation.int8]\nperplexity_ratio = { max = 1.0001 }\n")
    assert main([*judge, "--limits", str(limits)]) == 3
    out, err = capsys.readouterr()
    assert "int8 on this CPU" in out
    assert "perplexity_ratio ≤ 1.0001" in err
    page = tmp_path / "summary.md"
    assert main([*judge, "--against", str(bundle), "--markdown", str(page)]) == 0
    assert "stories260k: the gate passed" in page.read_text(encoding="utf-8")


def test_a_folder_of_onnxruntime_genai_is_judged_too(bundle, texts, tmp_path, capsys):
    folder = shutil.copytree(bundle, tmp_path / "other", ignore=shutil.ignore_patterns("manifest.json*"))
    assert main(["gate", str(folder), str(STORIES), *texts, "--decision", "point"]) == 0
    assert "other, judged on 60 rows" in capsys.readouterr().out


def test_questions_that_make_no_sense(bundle, quantize, tmp_path, capsys):
    assert quantize(tmp_path / "x", "--on", "target") == 2
    assert "a causal model is judged on this CPU" in capsys.readouterr().err
    assert main(["gate", str(bundle), str(STORIES), "--on", "target"]) == 2
    assert "a causal model is judged on this CPU" in capsys.readouterr().err
    assert main(["gate", str(bundle)]) == 2
    assert "there is no float model to judge by" in capsys.readouterr().err


def test_a_gate_that_fails_leaves_nothing(quantize, tmp_path, capsys):
    recipe = Path("targets/x86-avx2.toml").read_text(encoding="utf-8").replace("max = 1.05", "max = 1.001")
    (tmp_path / "strict.toml").write_text(recipe, encoding="utf-8")
    assert quantize(tmp_path / "stories", "--keep-rejected", target=tmp_path / "strict.toml") == 3
    out, err = capsys.readouterr()
    assert "FAIL" in out
    assert "hint: the rejected bundle is" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stories.rejected", "strict.toml"]
