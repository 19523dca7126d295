"""A tiny model, small disjoint sets and a recipe that random weights pass: what a whole run of the command needs."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.models import WORDS, tiny_bert
from toolkit.cli import main
from toolkit.targets import recipe_files

LOOSE_GATE = """[gate.embedding]
cosine_mean = { min = 0.5 }

[gate.classification]
label_flips = { max = 0.9 }

[gate.reranking]
[gate.token-classification]

"""


@dataclass(frozen=True)
class Folder:
    """A folder with `model`, `calibration.jsonl`, `eval.jsonl` and `loose.toml`; the bundle goes to `out/bundle`."""

    root: Path

    @property
    def model(self):
        return self.root / "model"

    @property
    def out(self):
        return self.root / "out" / "bundle"

    def leftovers(self):
        """Return all that lies where the output belongs."""
        return sorted(path.name for path in self.out.parent.iterdir()) if self.out.parent.exists() else []

    def arguments(self, **changed):
        """Return the command line of `edgequant quantize`; a value of None drops the option."""
        options = {
            "--target": self.root / "loose.toml",
            "--out": self.out,
            "--calibration": self.root / "calibration.jsonl",
            "--eval": self.root / "eval.jsonl",
        } | {f"--{name.replace('_', '-')}": value for name, value in changed.items() if name != "model"}
        model = changed.get("model", self.model)
        pairs = [[name, str(value)] for name, value in options.items() if value is not None]
        return ["quantize", str(model), "--no-speed", "--threads", "1", *itertools.chain.from_iterable(pairs)]

    def quantize(self, *flags, **changed):
        """Run the command in this process and return its exit code."""
        return main([*self.arguments(**changed), *flags])


def sentences(count, seed):
    """Return different sentences of the tiny model's words."""
    random = np.random.default_rng(seed)
    found = {" ".join(random.choice(WORDS, random.integers(3, 12))) for _ in range(4 * count)}
    return sorted(found)[:count]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe_with(path, gate=LOOSE_GATE, target="x86-avx2"):
    """Write a shipped recipe with other limits, and with rules that find a tiny model large enough."""
    text = recipe_files()[target].read_text(encoding="utf-8")
    text = text.replace("max_parameters = 16384", "max_parameters = 128").replace(
        "_parameters = 500000", "_parameters = 500"
    )
    text = text.replace('decision = "interval"', 'decision = "point"')  # sixty texts decide little
    head, rest = text[: text.index("[gate.embedding]")], text[text.index("[runtime]") :]
    path.write_text(head + gate + rest, encoding="utf-8")
    return path


def tiny_job(root, head=None):
    """Write everything into `root` and return it."""
    tiny_bert(root / "model", head=head)
    texts = sentences(60, 0)
    write_lines(root / "calibration.jsonl", [{"text": text} for text in texts[::2]])
    write_lines(root / "eval.jsonl", [{"text": text} for text in texts[1::2]])
    recipe_with(root / "loose.toml")
    return Folder(root)
