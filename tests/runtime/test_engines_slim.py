"""Without numpy an app's calls give the same bits."""

import json
import subprocess
import sys
from pathlib import Path

import toolkit
from tests.runtime.server import bert_bundle
from tests.runtime.tiny import LABELS, Parts

PROGRAM = """
import asyncio, json, sys
if sys.argv[1] == "slim":
    sys.modules["numpy"] = None
from toolkit.runtime import EmotionEngine, FallbackEmbedder, Windows, load
texts = ["a cat", "the dog ran on the mat " * 20, ""]
some = {"windows": Windows(3)}
emotion, embedder = EmotionEngine("emotion", threads=1), FallbackEmbedder(["none", "minilm"], threads=1)
plain, unit = load("plain", threads=1), {"normalize_embeddings": True}
entities = load("entities", threads=1).entities(texts, windows=Windows())
analyzed = asyncio.run(emotion.analyze_async(texts, threshold=0.2, **some))
print(json.dumps({
    "labels": [[one.labels, one.probabilities] for one in analyzed],
    "largest": emotion.probabilities(texts, windows=Windows(3, "max")).tobytes().hex(),
    "whole": embedder.encode(texts, **some).tobytes().hex(),
    "one": embedder.encode(texts[1], **some).tolist(),
    "unit": plain.encode(texts, **unit, **some).tobytes().hex(),
    "unit of one": plain.encode(texts[1], **unit, convert_to_numpy=False),
    "entities": [[(e.label, e.start, e.end, e.score) for e in row] for row in entities],
    "numpy": bool(sys.modules.get("numpy")),
}))
"""


def answers(folder: Path, how: str) -> dict[str, object]:
    root = str(Path(toolkit.__file__).parent.parent)
    command = [sys.executable, "-W", "error", "-c", PROGRAM, how]
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": root}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("embedder none is skipped: there is no such bundle")
    return json.loads(done.stdout)


def test_engines_without_numpy_give_the_same_bits(tmp_path):
    Parts().write(tmp_path / "plain")
    Parts(changes={"normalize": True}).write(tmp_path / "minilm")
    Parts(changes=dict(LABELS)).write(tmp_path / "emotion")
    bert_bundle(tmp_path / "entities", "tokens")
    slim, full = answers(tmp_path, "slim"), answers(tmp_path, "full")
    assert (slim.pop("numpy"), full.pop("numpy")) == (False, True)
    assert slim == full
    assert any(slim["entities"])
