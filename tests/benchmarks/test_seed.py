"""The table of benchmarks/seed.py: what it says, the block of a page that it replaces, and the README's own block."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return import_module("seed_table")


@pytest.fixture
def seed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return import_module("seed")


@pytest.fixture
def result(table):
    """Figures that are easy to divide."""
    runs = {
        "torch": table.Run(4.0, 600e6, 900e6, 50.0, 100.0),
        "normal": table.Run(0.2, 150e6, 180e6, 400.0, 450.0),
        "slim": table.Run(0.1, 100e6, 100e6, 400.0, 500.0),
    }
    work = {"embedding": table.Work("a model", runs, {"normal": "cosine 0.99", "slim": "cosine 0.99"})}
    sizes = {"torch": 1000_000_000, "normal": 100_000_000, "slim": 40_000_000}
    return table.Result({"date": "2026-01-02"}, sizes, sizes, sizes, work, {"classification": "no weights"})


def test_rows_say_how_many_times_less_or_more(table, result):
    lines = table.render(result).splitlines()
    assert lines[0] == "| | transformers, torch, sentence-transformers | edgequant | edgequant, slim |"
    assert "| packages that run | 1,000 MB | 100 MB (1/10.0) | 40 MB (1/25.0) |" in lines
    assert "| embedding: process start to first answer | 4.00 s | 0.20 s (1/20.0) | 0.10 s (1/40.0) |" in lines
    assert "| embedding: peak memory after all sentences | 900 MB | 180 MB (1/5.0) | 100 MB (1/9.0) |" in lines
    assert "| embedding: sentences per CPU second, one at a time | 50 | 400 (8.0x) | 400 (8.0x) |" in lines


def test_what_was_skipped_and_what_agrees_is_said(table, result):
    lines = table.render(result).splitlines()
    assert "- embedding: a model; edgequant and edgequant, slim: cosine 0.99" in lines
    assert "- classification: not measured: no weights" in lines
    assert "- date: 2026-01-02" in lines


def test_what_slower_is_does_not_look_faster(table, result):
    runs = dict(result.work["embedding"].runs)
    runs["slim"] = table.Run(8.0, 1200e6, 1800e6, 25.0, 25.0)
    work = {"embedding": replace(result.work["embedding"], runs=runs)}
    text = table.render(replace(result, work=work))
    assert "8.00 s (1/0.5)" in text
    assert "25 (0.5x)" in text


def test_a_result_is_read_as_it_was_kept(table, result):
    assert table.result_of(json.loads(json.dumps(result.as_dict()))) == result
    with pytest.raises(TypeError):
        table.result_of({**result.as_dict(), "speed": {}})


def test_exactly_the_block_is_replaced(table):
    page = f"before\n\n{table.BEGIN}\nold\n{table.END}\n\nafter\n"
    new = table.replaced(page, "| new |")
    assert new == f"before\n\n{table.BEGIN}\n| new |\n{table.END}\n\nafter\n"
    assert table.shown(new) == "| new |"
    assert table.replaced(new, "old") == page


@pytest.mark.parametrize("page", ["", "{b}", "{e}\n{b}", "{b}\n{b}\n{e}"])
def test_a_page_without_its_two_marks_is_refused(table, page):
    with pytest.raises(ValueError, match="once each"):
        table.replaced(page.format(b=table.BEGIN, e=table.END), "new")


def test_a_kept_result_is_shown_and_written(seed, table, result, tmp_path, capsys):
    stored, page = tmp_path / "seed.json", tmp_path / "page.md"
    stored.write_text(json.dumps(result.as_dict()), encoding="utf-8")
    page.write_text(f"{table.BEGIN}\n{table.END}\n", encoding="utf-8")
    assert seed.main(["--from", str(stored), "--write", str(page)]) == 0
    assert capsys.readouterr().out == table.render(result) + "\n"
    assert table.shown(page.read_text(encoding="utf-8")) == table.render(result)
    assert seed.main(["--from", str(stored), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result.as_dict()


def test_a_page_without_marks_is_found_before_anything_is_measured(seed, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(SystemExit, match="the page needs"):
        seed.main(["--write", str(page), "--cache", str(tmp_path / "cache")])
    assert not (tmp_path / "cache").exists()


def test_a_classifier_that_is_not_there_is_found_before_anything_is_measured(seed, tmp_path):
    with pytest.raises(SystemExit, match=r"no config\.json"):
        seed.main(["--classifier", str(tmp_path), "--cache", str(tmp_path / "cache")])
    assert not (tmp_path / "cache").exists()


def test_the_stored_result_is_whole_and_real(table):
    stored = table.result_of(json.loads((ROOT / "benchmarks/seed.json").read_text(encoding="utf-8")))
    for work in stored.work.values():
        assert set(work.runs) == set(stored.installed) == set(stored.image) == set(table.NAMES)
    assert {"date", "machine", "load", "versions before", "versions after"} <= set(stored.conditions)


def test_the_readme_shows_the_stored_result(table):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    stored = table.result_of(json.loads((ROOT / "benchmarks/seed.json").read_text(encoding="utf-8")))
    assert table.shown(page) == table.render(stored), "benchmarks/seed.py --from benchmarks/seed.json --write README.md"


def test_answers_are_compared(seed):
    assert seed.agree(["a", "b"], ["a", "c"]) == "1 of 2 labels the same"
    assert seed.agree([[1.0, 0.0]], [[0.0, 2.0]]) == "cosine of 1 embeddings 0.0000 on average, 0.0000 at least"
    assert seed.agree([[3.0, 4.0]], [[6.0, 8.0]]) == "cosine of 1 embeddings 1.0000 on average, 1.0000 at least"
