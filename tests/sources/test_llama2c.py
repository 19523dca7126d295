"""llama2.c's checkpoints become Hugging Face folders that mean the same."""

import json
import struct
from itertools import pairwise

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from toolkit.errors import ModelError
from toolkit.sources.llama2c import MAGIC, write_folder

WIDTH, HIDDEN, LAYERS, HEADS, CACHE, VOCABULARY, CONTEXT = NUMBERS = (32, 24, 2, 4, 2, 270, 16)
HEAD = WIDTH // HEADS
PIECES = [*([b"<unk>", b"\n<s>\n", b"\n</s>\n"]), *(f"<0x{i:02X}>".encode() for i in range(256))]
PIECES += [b" ", b"a", b"b", b" a", b"ab", b" ab", b"\xc3\xa9", b"c", b"bc", b"aa", b"x"]


def parts(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "table": (VOCABULARY, WIDTH), "norm1": (LAYERS, WIDTH), "q": (LAYERS, WIDTH, WIDTH),
        "k": (LAYERS, CACHE * HEAD, WIDTH), "v": (LAYERS, CACHE * HEAD, WIDTH), "o": (LAYERS, WIDTH, WIDTH),
        "norm2": (LAYERS, WIDTH), "gate": (LAYERS, HIDDEN, WIDTH), "down": (LAYERS, WIDTH, HIDDEN),
        "up": (LAYERS, HIDDEN, WIDTH), "norm": (WIDTH,), "head": (VOCABULARY, WIDTH),
    }  # fmt: skip
    return {name: rng.standard_normal(shape).astype("<f4") for name, shape in shapes.items()}


FIRST = ("table", "norm1", "q", "k", "v", "o", "norm2", "gate", "down", "up", "norm")
ONE = ("norm1", "norm2", "norm", "table", "q", "k", "v", "o", "gate", "down", "up")


def first_layout(tensors, *, tied=True):
    header = struct.pack("<7i", *NUMBERS[:5], VOCABULARY if tied else -VOCABULARY, CONTEXT)
    rotary = np.zeros((2, CONTEXT, HEAD // 2), "<f4").tobytes()
    body = b"".join(tensors[name].tobytes() for name in FIRST)
    return header + body + rotary + (b"" if tied else tensors["head"].tobytes())


def version_one(tensors, *, tied=True, version=1):
    header = struct.pack("<Ii7iB", MAGIC, version, *NUMBERS, tied).ljust(256, b"\0")
    body = b"".join(tensors[name].tobytes() for name in ONE)
    return header + body + (b"" if tied else tensors["head"].tobytes())


def tokenizer_bin():
    scores = [0.0] * 259 + [-float(i) for i in range(len(PIECES) - 259)]
    entries = (struct.pack("<fi", score, len(piece)) + piece for piece, score in zip(PIECES, scores, strict=True))
    return struct.pack("<i", max(map(len, PIECES))) + b"".join(entries)


def write(folder, content, pieces=None):
    (folder / "model.bin").write_bytes(content)
    (folder / "tokenizer.bin").write_bytes(tokenizer_bin() if pieces is None else pieces)
    write_folder(folder / "model.bin", folder / "tokenizer.bin", folder / "out")
    return load_file(folder / "out" / "model.safetensors"), json.loads((folder / "out" / "config.json").read_text())


@pytest.mark.parametrize("tied", [True, False])
def test_both_layouts_give_the_same_folder(tmp_path, tied):
    tensors = parts()
    found = []
    for name, layout in (("a", first_layout), ("b", version_one)):
        (tmp_path / name).mkdir()
        found.append(write(tmp_path / name, layout(tensors, tied=tied)))
    (first, config), (second, other) = found
    assert config == other
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert ("lm_head.weight" in first) is not tied
    assert (config["tie_word_embeddings"], config["head_dim"], config["num_key_value_heads"]) == (tied, 16, CACHE)


def rotated(vector, position, *, halves):
    """Return a head [width] turned for a position: pairs that stand in turns, or whose halves stand apart."""
    width = len(vector)
    angles = position / 10000.0 ** (np.arange(0, width, 2) / width)
    pairs = np.stack([vector[: width // 2], vector[width // 2 :]], 1) if halves else vector.reshape(-1, 2)
    cos, sin = np.cos(angles), np.sin(angles)
    turned = np.stack([pairs[:, 0] * cos - pairs[:, 1] * sin, pairs[:, 0] * sin + pairs[:, 1] * cos], 1)
    return turned.T.ravel() if halves else turned.ravel()


def test_attention_scores_and_values_are_those_of_the_checkpoint(tmp_path):
    tensors = parts(1)
    folder, config = write(tmp_path, first_layout(tensors))
    x, y = np.random.default_rng(2).standard_normal((2, WIDTH))
    wide = config["head_dim"]
    q, k, v, o = (folder[f"model.layers.1.self_attn.{name}_proj.weight"] for name in "qkvo")
    for head in range(HEADS):
        rows, cached = slice(head * HEAD, (head + 1) * HEAD), head // 2
        mine = slice(cached * HEAD, (cached + 1) * HEAD)
        expected = rotated(tensors["q"][1][rows] @ x, 7, halves=False) @ rotated(
            tensors["k"][1][mine] @ y, 3, halves=False
        )
        query = rotated((q @ x)[head * wide : (head + 1) * wide], 7, halves=True)
        key = rotated((k @ y)[cached * wide : (cached + 1) * wide], 3, halves=True)
        assert query @ key / np.sqrt(wide) == pytest.approx(expected / np.sqrt(HEAD), rel=1e-5)
    values = np.repeat((v @ y).reshape(CACHE, wide), 2, axis=0).ravel()
    plain = np.repeat((tensors["v"][1] @ y).reshape(CACHE, HEAD), 2, axis=0).ravel()
    assert o @ values == pytest.approx(tensors["o"][1] @ plain, rel=1e-4, abs=1e-4)


def reference(text):
    """Tokenize as llama2.c does (run.c, encode)."""
    ids = {piece: number for number, piece in reversed(list(enumerate(PIECES)))}
    tokens = [1, *([ids[b" "]] if text else [])]
    for character in text:
        data = character.encode()
        tokens += [ids[data]] if data in ids else [byte + 3 for byte in data]
    while True:
        pairs = [(ids.get(PIECES[a] + PIECES[b], 9999), at) for at, (a, b) in enumerate(pairwise(tokens))]
        best = min((number for number, _ in pairs), default=9999)
        if best == 9999:
            return tokens
        at = next(at for number, at in pairs if number == best)
        tokens[at : at + 2] = [best]


@pytest.mark.parametrize("text", ["ab", "a b ab", "aab bc", "é ü☕", "", "  ab\n", "xyz", "abcab"])
def test_the_tokenizer_is_that_of_llama2c(tmp_path, text):
    write(tmp_path, first_layout(parts()))
    tokenizer = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    found = tokenizer.encode(text).ids
    assert found == reference(text)
    assert tokenizer.decode(found, skip_special_tokens=True) == text


def test_what_is_no_checkpoint(tmp_path):
    good = first_layout(parts())
    for content in (b"", good[:-4], good + b"1234", b"\0" * 400, struct.pack("<7i", *[-1] * 7) + good[28:]):
        with pytest.raises(ModelError, match=r"no checkpoint of llama2\.c"):
            write(tmp_path, content)
    with pytest.raises(ModelError, match="quantized checkpoints are not read") as caught:
        write(tmp_path, version_one(parts(), version=2))
    assert "export.py --version 1" in str(caught.value)
    for pieces in (tokenizer_bin()[:-1], tokenizer_bin() + b"1", b""):
        with pytest.raises(ModelError, match="not the tokenizer of this checkpoint"):
            write(tmp_path, good, pieces)
