"""``--fallback`` and ``--budget`` as a user meets them, on a tiny model whose int8 reaches 39.6 dB and float 49."""

import json
from itertools import pairwise

import pytest

from tests.jobs import LOOSE_GATE, recipe_with, tiny_job, write_lines
from toolkit.cli import main
from toolkit.runtime import cpu
from toolkit.targets import recipe_files, target_for

HERE = target_for(cpu.architecture(), cpu.features()) or "x86-avx2"


@pytest.fixture
def job(tmp_path):
    return tiny_job(tmp_path)


def strict(job, decibels, *, size=2.0, target="arm64-dotprod", fallback=True):
    """Return a recipe with a limit of SQNR; no machine of the tests can time Arm, so that costs are the same ones."""
    limits = f"sqnr_db = {{ min = {decibels} }}\nsize_ratio = {{ max = {size} }}"
    path = recipe_with(job.root / "strict.toml", LOOSE_GATE.replace("cosine_mean = { min = 0.5 }", limits), target)
    if not fallback:
        path.write_text(path.read_text(encoding="utf-8").replace("fallback = true", "fallback = false"))
    return path


def report(job, capsys, *flags, code=0, **changed):
    """Run with ``--json`` and return what it prints."""
    capsys.readouterr()
    assert job.quantize("--json", *flags, **changed) == code
    return json.loads(capsys.readouterr().out)


def changed_layers(found):
    return [name for item in found["given_up"] for name in item["layers"]]


def test_what_the_gate_refuses_passes_after_fallback_and_the_layers_are_named(job, capsys):
    found = report(job, capsys, target=strict(job, 41))
    told, verdicts = found["fallback"], found["gate"]["verdicts"]
    assert found["gate"]["passed"]
    assert next(item["int8"] for item in verdicts if item["metric"] == "sqnr_db") >= 41
    assert [look["passed"] for look in told["looks"]].count(True) >= 1
    assert told["looks"][0]["refused"] == ["sqnr_db"]
    assert 1 <= len(changed_layers(told)) < told["layers"] == 8
    assert not told["measured"]
    decided = json.loads((job.out / "quantization.json").read_text(encoding="utf-8"))
    assert decided["fallback"] == told
    assert [item["name"] for item in decided["linear"] if item["precision"] == "float"] == changed_layers(told)
    assert main(["inspect", str(job.out)]) == 0
    printed = capsys.readouterr().out
    assert "the gate refused int8 as the recipe says for sqnr_db" in printed
    assert f"{changed_layers(told)[0]}: float; " in printed
    assert "multiply-adds at 8x48" in printed
    for form in ("markdown", "html"):
        assert main(["report", str(job.out), f"--{form}", "-"]) == 0
        assert "Mixed precision" in capsys.readouterr().out


def test_costs_are_timed_where_the_kernels_are_and_the_summary_says_what_was_given_up(job, capsys):
    assert job.quantize(target=strict(job, 41, target=HERE)) == 0
    out, err = capsys.readouterr()
    assert "fallback  the gate refused" in out
    assert " ms at 8x48, timed " in out
    assert "measure sensitivity" in err
    assert "time layers" in err


def test_two_builds_give_the_same_bytes(job):
    assert job.quantize(target=strict(job, 41)) == 0
    before = {path.name: path.read_bytes() for path in job.out.iterdir()}
    assert job.quantize("--force", target=strict(job, 41)) == 0
    assert before == {path.name: path.read_bytes() for path in job.out.iterdir()}


@pytest.mark.parametrize("way", ["option", "recipe"])
def test_without_fallback_the_gate_has_the_first_and_last_word(job, capsys, way):
    flags = ("--no-fallback",) if way == "option" else ()
    found = report(job, capsys, *flags, code=3, target=strict(job, 41, fallback=way == "option"))
    assert found["fallback"] is None
    assert job.leftovers() == []


def test_the_option_overrides_the_recipe(job):
    assert job.quantize("--fallback", target=strict(job, 41, fallback=False)) == 0


def test_a_gate_that_cannot_pass_says_so_with_the_best_that_was_reached(job, capsys):
    found = report(job, capsys, code=3, target=strict(job, 90))
    assert found["fallback"]["end"] == "every linear layer is in float: the gate cannot pass by this way"
    decibels = [look["sqnr_db"] for look in found["fallback"]["looks"]]
    assert decibels == sorted(decibels)
    assert 2 <= len(decibels) <= 5
    assert next(item["int8"] for item in found["gate"]["verdicts"] if item["metric"] == "sqnr_db") > 41
    assert job.leftovers() == []


def test_a_limit_of_size_ends_the_fallback(job, capsys):
    found = report(job, capsys, code=3, target=strict(job, 90, size=0.6))
    assert "the limit of size_ratio leaves no room" in found["fallback"]["end"]
    assert next(item["outcome"] for item in found["gate"]["verdicts"] if item["metric"] == "size_ratio") == "pass"


def test_nothing_falls_back_where_fp32_itself_would_not_pass(job, capsys):
    found = report(job, capsys, code=3, target=strict(job, 41, size=0.1))
    assert found["fallback"] is None


def test_a_budget_of_accuracy_starts_with_the_fastest_form(job, capsys):
    found = report(job, capsys, "--budget", "sqnr_db>=36", target=strict(job, 41))["fallback"]
    assert found["why"] == "--budget sqnr_db>=36"
    assert found["start"] == "int8 without smoothing"
    assert found["looks"][-1]["passed"]


def test_a_budget_of_time_is_spent_where_it_helps_most(job, capsys):
    slow = report(job, capsys, "--budget", "1000ms@2x16", target=strict(job, 5, target=HERE))["fallback"]
    assert slow["shapes"] == [[2, 16]]
    assert len(changed_layers(slow)) == slow["layers"]
    assert {item["treatment"] for item in slow["given_up"]} == {"float"}


@pytest.mark.parametrize(
    ("flags", "target", "code", "words"),
    [
        (("--budget", "speedup>=1000@1x16"), HERE, 3, "the model cannot be as fast as the budget"),
        (("--budget", "speedup>=2"), "arm64-dotprod", 2, "--budget speedup>=2 needs times"),
        (("--budget", "faster"), "x86-avx2", 2, "--budget is not understood"),
        (("--budget", "accuracy>=0.9"), "x86-avx2", 2, "embedding has no such metric"),
        (("--budget", "accuracy", "--no-fallback"), "x86-avx2", 2, "--budget is a search, --no-fallback forbids one"),
    ],
)
def test_budgets_that_cannot_be_had(job, capsys, flags, target, code, words):
    assert job.quantize(*flags, target=strict(job, 5, target=target)) == code
    assert words in capsys.readouterr().err
    assert job.leftovers() == []


def test_there_is_nothing_to_trade_where_no_layer_is_in_int8(job, capsys):
    recipe = strict(job, 90)
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("max_parameters = 128", "max_parameters = 99999"))
    assert job.quantize(target=recipe) == 3
    assert job.quantize("--budget", "accuracy", target=recipe) == 2
    assert "there is nothing to trade" in capsys.readouterr().err


def test_a_causal_model_takes_no_budget(job, capsys):
    assert job.quantize("--budget", "accuracy", "--task", "text-generation") == 2
    assert "a causal model takes no budget" in capsys.readouterr().err


def test_a_graph_takes_no_budget(job, capsys):
    graph = job.root / "any.onnx"
    graph.write_bytes(b"")
    calibration = job.root / "arrays.npz"
    calibration.write_bytes(b"")
    assert job.quantize("--budget", "accuracy", model=graph, calibration=calibration) == 2
    assert "a model that is no text encoder takes no budget" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("head", "task", "decibels"),
    [
        ("classifier", "classification", 42),
        ("multi_label", "classification", 42),
        ("reranker", "reranking", 34),
        ("tokens", "token-classification", 42),
    ],
)
def test_every_task_falls_back(tmp_path, capsys, head, task, decibels):
    job = tiny_job(tmp_path, head=head)
    texts = [json.loads(line)["text"] for line in (tmp_path / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = {
        "reranker": [{"text": text, "text2": other} for text, other in pairwise(texts)],
        "tokens": [{"tokens": text.split(), "tags": ["O"] * len(text.split())} for text in texts],
    }
    write_lines(tmp_path / "eval.jsonl", rows.get(head, [{"text": text} for text in texts]))
    gate = LOOSE_GATE.replace("cosine_mean = { min = 0.5 }", "").replace("label_flips = { max = 0.9 }", "")
    gate = gate.replace(f"[gate.{task}]", f"[gate.{task}]\nsqnr_db = {{ min = {decibels} }}")
    found = report(job, capsys, target=recipe_with(tmp_path / "strict.toml", gate, "arm64-dotprod"))
    assert found["fallback"]["given_up"]
    assert found["gate"]["task"] == task


def test_every_shipped_recipe_says_whether_it_falls_back():
    assert all("fallback = true" in path.read_text(encoding="utf-8") for path in recipe_files().values())
