"""What the tests of the command line share: a tiny model with its sets and recipes, and the command as a process."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import toolkit
from tests.models import WORDS, tiny_bert
from toolkit.runtime import cpu
from toolkit.targets import recipe_files, target_for

ROOT = Path(toolkit.__file__).parent.parent
CLI = (sys.executable, "-m", "toolkit.cli")


@dataclass(frozen=True)
class Workplace:
    """A folder with a model, a calibration and an evaluation set, and a recipe that the model passes."""

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "out" / "b"

    def command(self, *more: str, **changed: object) -> list[str]:
        """Return the arguments of ``quantize``, where ``model``, ``target``, ``calibration``, ``eval`` may change."""
        given = {
            "model": self.folder / "model",
            "target": self.folder / "loose.toml",
            "calibration": self.folder / "calibration.jsonl",
            "eval": self.folder / "evaluation.csv",
        } | changed
        options = [part for name in ("target", "calibration", "eval") for part in (f"--{name}", str(given[name]))]
        return ["quantize", str(given["model"]), *options, "--no-speed", "--threads", "1", "-o", str(self.out), *more]

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def left(self) -> list[str]:
        """Return what stands under OUT's folder, hidden names too."""
        parent = self.out.parent
        return sorted(str(path.relative_to(parent)) for path in parent.rglob("*")) if parent.exists() else []


def workplace(folder: Path) -> Workplace:
    """Fill a folder."""
    made = Workplace(folder)
    tiny_bert(folder / "model")
    texts = [f"the {one} {two}" for one in WORDS for two in WORDS[:3]]
    made.write("calibration.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts))
    made.write("evaluation.csv", "text\n" + "".join(f"a {one} and {two}\n" for one in WORDS for two in WORDS[6:8]))
    made.write("loose.toml", recipe())
    return made


def recipe(cosine: float = 0.5, target: str | None = None) -> str:
    """Return a shipped recipe, by default for this CPU, with layers of any size and only the cosine to be met."""
    name = target or target_for(cpu.architecture(), cpu.features()) or "x86-avx2"
    text = recipe_files()[name].read_text(encoding="utf-8").replace(f'name = "{name}"', 'name = "loose"')
    for pattern, put in (
        (r"(m\w+_parameters) = \d+", r"\1 = 100"),
        (r"(decision) = .*", r'\1 = "point"'),
        (r"size_ratio = .*", "size_ratio = { max = 2.0 }"),
        (r"sqnr_db = .*", "sqnr_db = { min = 5.0 }"),
        (r"(cosine_\w+) = .*", rf"\1 = {{ min = {cosine} }}"),
    ):
        text, count = re.subn(pattern, put, text)
        assert count, pattern
    return text


def environment() -> dict[str, str]:
    """Return the environment of a process that imports this ``toolkit``."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def process(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)
