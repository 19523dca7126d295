"""What docs/runtime.md shows does run."""

import re
import shlex
import tomllib
from pathlib import Path

from tests.runtime.server import bert_bundle
from tests.runtime.tiny import LABELS, Parts

PAGE = Path(__file__).parent.parent.parent / "docs/runtime.md"


def test_every_example_runs(tmp_path, monkeypatch):
    folder = tmp_path / "bundles"
    folder.mkdir()
    Parts().write(folder / "minilm")
    Parts(changes=dict(LABELS)).write(folder / "emotion")
    bert_bundle(folder / "reranker", "reranker")
    bert_bundle(folder / "entities", "tokens")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(names["entities"]) == 1
    assert [skipped.bundle for skipped in names["embedder"].skipped] == ["bundles/mpnet"]


def test_the_device_is_given_all_that_runs_and_no_more():
    line = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("pip install"))
    project = tomllib.loads((PAGE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert shlex.split(line) == ["pip", "install", "--no-deps", "edgequant", *project["dependencies"]]
    assert project["optional-dependencies"]["llm"][0] in PAGE.read_text(encoding="utf-8")
