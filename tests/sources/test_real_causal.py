"""Real causal models of ../shared: stories260k's own checkpoint, and capp-gpt, a GPT-2 graph with a cache."""

import importlib.util
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from toolkit.causal import CausalJob, quantize_causal, write_causal
from toolkit.causal.subject import source_subject
from toolkit.runtime import load, verify
from toolkit.sources import SourceOptions, llama2c
from toolkit.sources.causal import open_causal
from toolkit.targets import load_recipe

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
FIXTURE = ROOT / "tests" / "golden" / "stories260k"
ORIGINAL, CAPP = SHARED / "models" / "stories260k", SHARED / "models" / "capp_gpt"
TEXTS = SHARED / "data" / "lmtext"

pytestmark = pytest.mark.skipif(not ORIGINAL.is_dir(), reason="../shared has the original checkpoints; it is not here")


def reference(tokens):
    """Return the logits [tokens, vocabulary] of stories260k as llama2.c computes them (run.c, forward)."""
    shape, w = llama2c._read(ORIGINAL / "checkpoint_legacy.bin")
    head, group = shape.head, shape.heads // shape.cache_heads
    angles = np.outer(np.arange(len(tokens)), 1 / 10000.0 ** (np.arange(0, head, 2) / head))

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-5) * weight

    def turned(x):  # [tokens, heads, head]
        pairs = x.reshape(*x.shape[:2], -1, 2)
        real, other = pairs[..., 0], pairs[..., 1]
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        return np.stack([real * cos - other * sin, real * sin + other * cos], -1).reshape(x.shape)

    x = w["table"][tokens].astype(np.float64)
    for layer in range(shape.layers):
        y = norm(x, w["norm1"][layer])
        q, k, v = (
            (y @ w[name][layer].T).reshape(len(tokens), heads, head)
            for name, heads in (("q", shape.heads), ("k", shape.cache_heads), ("v", shape.cache_heads))
        )
        q, k, v = turned(q), np.repeat(turned(k), group, 1), np.repeat(v, group, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(head)
        scores[:, ~np.tri(len(tokens), dtype=bool)] = -np.inf
        odds = np.exp(scores - scores.max(2, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", odds / odds.sum(2, keepdims=True), v).reshape(len(tokens), -1)
        x = x + mixed @ w["o"][layer].T
        y = norm(x, w["norm2"][layer])
        gate = y @ w["gate"][layer].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w["up"][layer].T)) @ w["down"][layer].T
    return norm(x, w["norm"]) @ w["table"].T


def test_the_built_graph_computes_what_llama2c_computes(tmp_path):
    model = source_subject(open_causal(str(FIXTURE), SourceOptions(), tmp_path)).loaded(1)
    tokens = model.encode((TEXTS / "tinystories_sample.txt").read_text(encoding="utf-8"))[:300]
    assert np.abs(model.logits(tokens) - reference(np.array(tokens))).max() < 1e-3


def test_the_fixtures_tokenizer_is_the_checkpoints(tmp_path):
    llama2c.write_folder(ORIGINAL / "checkpoint_v1.bin", ORIGINAL / "tokenizer.bin", tmp_path)
    made, kept = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (tmp_path, FIXTURE))
    pieces = llama2c._pieces(ORIGINAL / "tokenizer.bin", 512)
    ids = {piece: number for number, (piece, _) in reversed(list(enumerate(pieces)))}
    lines = [line for path in sorted(TEXTS.glob("tinystories_*.txt")) for line in path.read_text("utf-8").splitlines()]
    for line in [line[:200] for line in lines if line][::20]:
        expected = merged([1, ids[b" "], *symbols(line, ids)], pieces, ids)
        assert made.encode(line).ids == kept.encode(line).ids == expected


def symbols(text, ids):
    for character in text:
        data = character.encode()
        yield from [ids[data]] if data in ids else [byte + 3 for byte in data]


def merged(tokens, pieces, ids):
    while True:
        pairs = [ids.get(pieces[a][0] + pieces[b][0]) for a, b in pairwise(tokens)]
        scores = [-math.inf if one is None else pieces[one][1] for one in pairs]
        best = int(np.argmax(scores)) if scores else 0
        if not scores or pairs[best] is None:
            return tokens
        tokens[best : best + 2] = [pairs[best]]


@pytest.mark.parametrize("bits", [8, 4])
def test_capp_gpt_is_converted_quantized_judged_and_generates(tmp_path, bits):
    spec = importlib.util.spec_from_file_location("llm", ROOT / "benchmarks" / "llm.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    bench.PLANS = {"calibration": 16, "evaluation": 56}
    source = open_causal(str(bench.prepare_capp(CAPP, tmp_path / "capp-gpt")), SourceOptions(), tmp_path / "work")
    calibration, evaluation = bench.plans(source)
    (tmp_path / "made").mkdir()
    made = quantize_causal(CausalJob(source, load_recipe("x86-avx2"), calibration, evaluation, tmp_path / "made", bits))
    out = write_causal(made, tmp_path / "bundle")
    assert verify(out).ok
    part = evaluation.texts[0].partition(", <SOS>")[0]
    assert load(out).generate(part + ", <SOS>").text.endswith("<EOC>")
