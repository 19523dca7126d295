"""Checkpoints of llama2.c (a ``.bin`` beside its ``tokenizer.bin``) as a Hugging Face folder of the architecture Llama.

Read are the first layout, seven numbers and the tensors, and version 1, a header of 256 bytes that says so
(llama2.c, export.py: legacy_export and version1_export). Two things are another way in a Hugging Face folder: the
halves of rotary embeddings stand apart there, not in turns; and heads narrower than 16, which onnxruntime's
GroupQueryAttention does not take, are filled up with zeros, each pair where its frequency stays what it was.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, processors

from toolkit.errors import ModelError

Float = npt.NDArray[np.float32]
MAGIC, HEADER = 0x616B3432, 256
LEAST_HEAD = 16
SPECIAL = ("<unk>", "<s>", "</s>")
BYTES = 256
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


@dataclass(frozen=True)
class Shape:
    """The seven numbers of the header, and whether the output layer is the embedding table."""

    width: int
    hidden: int
    layers: int
    heads: int
    cache_heads: int
    vocabulary: int
    context: int
    tied: bool

    @property
    def head(self) -> int:
        """The width of a head."""
        return self.width // self.heads

    @property
    def filled(self) -> int:
        """The width of a head in the folder, which GroupQueryAttention takes."""
        return self.head * (LEAST_HEAD // self.head if self.head < LEAST_HEAD and not LEAST_HEAD % self.head else 1)


def write_folder(checkpoint: Path, tokenizer: Path, out: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer's files; ModelError for files that are no such."""
    shape, tensors = _read(checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    save_file(_named(shape, tensors), out / "model.safetensors", {"format": "pt"})
    _write_json(out / "config.json", _config(shape))
    pieces = _pieces(tokenizer, shape.vocabulary)
    _tokenizer(pieces).save(str(out / "tokenizer.json"))
    special = dict(zip(("unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    _write_json(out / "tokenizer_config.json", {**settings, "model_max_length": shape.context, **special})


def _read(path: Path) -> tuple[Shape, dict[str, Float]]:
    data = path.read_bytes()
    magic, version = struct.unpack("<Ii", data[:8].ljust(8, b"\0"))
    first = magic != MAGIC
    if not first and version != 1:
        hint = "export it again as version 1: python export.py --version 1"
        raise ModelError(
            "llama2.c's quantized checkpoints are not read", where=path, got=version, expected=1, hint=hint
        )
    numbers = struct.unpack("<7i", data[0:28] if first else data[8:36]) if len(data) >= HEADER else (0,) * 7
    tied = numbers[5] > 0 if first else data[36] != 0
    width, hidden, layers, heads, cache_heads, vocabulary, context = numbers
    shape = Shape(width, hidden, layers, heads, cache_heads, abs(vocabulary), context, tied)
    expected = sum(int(np.prod(size)) for size in _layout(shape, first).values()) if min(numbers[:5]) > 0 else -1
    start = 28 if first else HEADER
    if len(data) != start + 4 * expected or shape.width % shape.heads or shape.heads % shape.cache_heads:
        got = f"{len(data)} bytes, header {' '.join(map(str, numbers))}"
        raise ModelError("the file is no checkpoint of llama2.c", where=path, got=got, hint="is it cut off?")
    tensors, at = {}, start
    for name, size in _layout(shape, first).items():
        count = int(np.prod(size))
        tensors[name] = np.frombuffer(data, "<f4", count, at).reshape(size)
        at += 4 * count
    return shape, tensors


def _layout(shape: Shape, first: bool) -> dict[str, tuple[int, ...]]:
    """Return the tensors in the order of the file."""
    width, hidden, layers, cache = shape.width, shape.hidden, shape.layers, shape.cache_heads * shape.head
    table, norms = {"table": (shape.vocabulary, width)}, (layers, width)
    attention = {name: (layers, size, width) for name, size in zip("qkvo", (width, cache, cache, width), strict=True)}
    mlp = {"gate": (layers, hidden, width), "down": (layers, width, hidden), "up": (layers, hidden, width)}
    last = {"norm": (width,)}
    head = {} if shape.tied else {"head": (shape.vocabulary, width)}
    if first:
        rotary = {"cos": (shape.context, shape.head // 2), "sin": (shape.context, shape.head // 2)}
        return {**table, "norm1": norms, **attention, "norm2": norms, **mlp, **last, **rotary, **head}
    return {"norm1": norms, "norm2": norms, **last, **table, **attention, **mlp, **head}


def _named(shape: Shape, tensors: dict[str, Float]) -> dict[str, Float]:
    """Return the tensors by the names of a Hugging Face checkpoint."""
    found = {"model.embed_tokens.weight": tensors["table"], "model.norm.weight": tensors["norm"]}
    if not shape.tied:
        found["lm_head.weight"] = tensors["head"]
    for number in range(shape.layers):
        of = {name: tensor[number] for name, tensor in tensors.items() if name not in ("table", "norm", "head")}
        parts = {
            "input_layernorm": of["norm1"],
            "post_attention_layernorm": of["norm2"],
            "self_attn.q_proj": _rotary(of["q"], shape, np.sqrt(shape.filled / shape.head)),
            "self_attn.k_proj": _rotary(of["k"], shape, 1.0),
            "self_attn.v_proj": _filled(of["v"], shape),
            "self_attn.o_proj": _filled(of["o"].T, shape).T,
            "mlp.gate_proj": of["gate"],
            "mlp.up_proj": of["up"],
            "mlp.down_proj": of["down"],
        }
        found |= {f"model.layers.{number}.{name}.weight": part for name, part in parts.items()}
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in found.items()}


def _rotary(weight: Float, shape: Shape, scale: float) -> Float:
    """Return a projection [heads x head, width] with the halves of its pairs apart.

    A filled head divides its scores by the root of its own width: ``scale`` makes up for that in the query.
    """
    pairs, times = shape.head // 2, shape.filled // shape.head
    apart = np.zeros((len(weight) // shape.head, 2, pairs * times, shape.width), np.float32)
    apart[:, :, ::times] = weight.reshape(-1, pairs, 2, shape.width).transpose(0, 2, 1, 3) * np.float32(scale)
    return apart.reshape(-1, shape.width)


def _filled(weight: Float, shape: Shape) -> Float:
    """Return a projection [heads x head, width] with zeros after each head's own rows."""
    heads = np.zeros((len(weight) // shape.head, shape.filled, shape.width), np.float32)
    heads[:, : shape.head] = weight.reshape(-1, shape.head, shape.width)
    return heads.reshape(-1, shape.width)


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.cache_heads,
        "head_dim": shape.filled,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": shape.tied,
        "unk_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "dtype": "float32",
    }


def _pieces(path: Path, count: int) -> list[tuple[bytes, float]]:
    """Return the pieces of a ``tokenizer.bin`` with their scores, in the order of the ids."""
    data, at, pieces = path.read_bytes(), 4, []
    for _ in range(count):
        score, length = struct.unpack("<fi", data[at : at + 8].ljust(8, b"\xff"))
        at += 8
        pieces.append((data[at : at + max(length, 0)], score))
        at += max(length, 0)
    if at != len(data):
        got, expected = f"{len(data)} bytes", f"{count} pieces, as the checkpoint has tokens"
        raise ModelError("the file is not the tokenizer of this checkpoint", where=path, got=got, expected=expected)
    return pieces


def _tokenizer(pieces: list[tuple[bytes, float]]) -> Tokenizer:
    """Return sentencepiece's BPE with byte fallback: pairs merge in the order of the merged piece's score."""
    first = len(SPECIAL) + BYTES
    names = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(BYTES))]
    names += [piece.decode("utf-8").replace(" ", SPACE) for piece, _ in pieces[first:]]
    ids = {name: number for number, name in enumerate(names)}
    merges = []
    for number in sorted(range(first, len(names)), key=lambda number: -pieces[number][1]):
        name = names[number]
        parts = [(name[:at], name[at:]) for at in range(1, len(name))]
        known = [pair for pair in parts if pair[0] in ids and pair[1] in ids]
        merges += sorted(known, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    made = Tokenizer(models.BPE(ids, merges, unk_token=SPECIAL[0], fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    strip = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(strip)
    made.add_special_tokens(list(SPECIAL))
    start = SPECIAL[1]
    made.post_processor = processors.TemplateProcessing(f"{start} $A", f"{start} $A {start}:1 $B:1", [(start, 1)])
    return made


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
