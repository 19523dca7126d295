"""A stack of two tiny models with small sets, limits that they pass, and an image whose parts are tiny too."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.image.conftest import fake_base, fake_sources
from tests.jobs import recipe_with, sentences, write_lines
from tests.models import tiny_bert
from toolkit.cli import main
from toolkit.image.lock import write_lock
from toolkit.prepare import read_stack
from toolkit.prepare.units import Place, Unit, units

STACK = """
schema = 1
name = "tiny"
targets = ["loose.toml"]
out = "out"

[models.encoder]
model = "encoder"
calibration = { set = "calibration.jsonl" }
evaluation = { set = "eval.jsonl" }

[models.feelings]
model = "feelings"
calibration = { set = "calibration.jsonl" }
evaluation = { set = "labels.csv", columns = { text = "said", label = "felt" } }

[image]
base = "base.tar"
lock = "lock.json"
"""


@dataclass(frozen=True)
class Tiny:
    """A folder with ``stack.toml`` and all that it names; what is made goes to ``out``."""

    root: Path

    @property
    def out(self) -> Path:
        return self.root / "out"

    def change(self, old: str, new: str) -> None:
        path = self.root / "stack.toml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        tomllib.loads(path.read_text(encoding="utf-8"))

    def units(self, **local: str) -> list[Unit]:
        return units(read_stack(self.root / "stack.toml"), Place(self.root, self.out, local))

    def command(self, *more: str) -> list[str]:
        return ["prepare", str(self.root / "stack.toml"), "--cache", str(self.root / "cache"), *more]

    def run(self, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict, str]:
        """Run the command in this process; return its exit code, report and stderr."""
        code = main(self.command("--json", *more))
        printed = capsys.readouterr()
        return code, json.loads(printed.out), printed.err

    def files(self) -> dict[str, bytes]:
        """Return everything under the folder, hidden names too."""
        paths = (path for path in self.root.rglob("*") if path.is_file() and self.root / "cache" not in path.parents)
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    tiny_bert(tmp_path / "encoder")
    tiny_bert(tmp_path / "feelings", head="classifier", seed=1)
    texts = sentences(60, 0)
    write_lines(tmp_path / "calibration.jsonl", [{"text": text} for text in texts[::2]])
    write_lines(tmp_path / "eval.jsonl", [{"text": text} for text in texts[1::2]])
    rows = "".join(f"{text},{('calm', 'glad', 'sad')[row % 3]}\n" for row, text in enumerate(texts[1::2]))
    (tmp_path / "labels.csv").write_text(f"said,felt\n{rows}", encoding="utf-8")
    recipe_with(tmp_path / "loose.toml")
    fake_base(tmp_path / "base.tar")
    write_lock(fake_sources(tmp_path / "cache").lock, tmp_path / "lock.json")
    (tmp_path / "stack.toml").write_text(STACK, encoding="utf-8")
    return Tiny(tmp_path)
