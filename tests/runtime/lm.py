"""A tiny real language model: a graph whose next token depends on the last one alone, in the form of onnxruntime-genai.

Its vocabulary is bytes and some words, so that a character may come in several tokens.
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from tests.runtime.tiny import Parts
from toolkit.runtime.manifest import Golden, ModelInfo, TokenizerInfo

SPECIAL = ["<unk>", "<s>", "</s>"]
WORDS = ["\N{LOWER ONE EIGHTH BLOCK}" + word for word in ("once", "upon", "a", "time", "the", "end", "cat")]
VOCABULARY = {word: i for i, word in enumerate([*SPECIAL, *(f"<0x{i:02X}>" for i in range(256)), *WORDS])}
CONTEXT = 48
TEMPLATE = "{{ bos_token }}{% for m in messages %} {{ m.content }}{% endfor %}"


def byte(value: int) -> str:
    return f"<0x{value:02X}>"


def story(*parts: str | bytes) -> list[str]:
    """Return the tokens of words and bytes."""
    return [
        token
        for part in parts
        for token in ([f"\N{LOWER ONE EIGHTH BLOCK}{part}"] if isinstance(part, str) else map(byte, part))
    ]


# "once upon a time" goes on with these, one after the other, and then ends.
TOLD = [*story("once", "upon", "a", "time", "the", "cat"), *map(byte, "é☕!".encode()), *story("end"), "</s>"]
PROMPT, REST = "once upon", " a time the caté☕! end"


def tokenizer_json() -> str:
    tokenizer = Tokenizer(models.BPE(VOCABULARY, [], unk_token="<unk>", byte_fallback=True, ignore_merges=True))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\N{LOWER ONE EIGHTH BLOCK}")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\N{LOWER ONE EIGHTH BLOCK}", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer.to_str()


def table(told: list[str] = TOLD, seed: int = 0) -> np.ndarray:
    """Return the logits of what follows each token: by chance, but what is told is far ahead."""
    ids = [VOCABULARY[token] for token in told]
    logits = np.random.default_rng(seed).standard_normal((len(VOCABULARY), len(VOCABULARY))).astype(np.float32)
    logits[ids[:-1], ids[1:]] += 12
    return logits


def model_bytes(logits: np.ndarray, work: int = 1) -> bytes:
    """logits[b, s] = table[ids[b, s]]; keys and values are only carried along.

    ``work`` is the side of a square matrix that is multiplied by itself at each step, to no end but the time it takes.
    """
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["numbers"], ["number"], keepdims=0),
        helper.make_node("Expand", ["number", "square"], ["matrix"]),
        helper.make_node("MatMul", ["matrix", "matrix"], ["product"]),
        helper.make_node("ReduceMin", ["product"], ["least"], keepdims=0),
        helper.make_node("Min", ["least", "nothing"], ["added"]),  # token numbers are not negative: this is 0
        helper.make_node("Gather", ["table", "input_ids"], ["told"]),
        helper.make_node("Add", ["told", "added"], ["logits"]),
        helper.make_node("Unsqueeze", ["numbers", "axes"], ["new"]),
        *(helper.make_node("Concat", [f"past.0.{name}", "new"], [f"present.0.{name}"], axis=2) for name in _KINDS),
    ]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", length])
        for name, length in (("input_ids", "length"), ("attention_mask", "total"))
    ]
    past, present = (
        [helper.make_tensor_value_info(f"{when}.0.{name}", TensorProto.FLOAT, ["batch", 1, when, 1]) for name in _KINDS]
        for when in ("past", "present")
    )
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "length", logits.shape[1]])
    values = {"table": logits, "axes": np.array([1, 3]), "square": np.array([work] * 2), "nothing": np.float32(0)}
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "lm", [*ids, *past], [out, *present], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


_KINDS = ("key", "value")


def genai_config(context: int) -> dict:
    decoder = {
        "session_options": {"provider_options": []},
        "filename": "model.onnx",
        "head_size": 1,
        "hidden_size": 1,
        "num_attention_heads": 1,
        "num_hidden_layers": 1,
        "num_key_value_heads": 1,
        "inputs": {"past_key_names": "past.%d.key", "past_value_names": "past.%d.value"},
        "outputs": {"present_key_names": "present.%d.key", "present_value_names": "present.%d.value"},
    }
    facts = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": len(VOCABULARY)}
    return {
        "model": {"type": "llama", "context_length": context, "decoder": decoder, **facts},
        "search": {"max_length": context, "past_present_share_buffer": False},
    }


ROUND = [*story("a", "cat", "a"), *story("upon", "time", "upon")]
"""Goes round and round without an end."""


def lm_parts(
    told: list[str] = TOLD, *, chat: bool = True, name: str = "stories", context: int = CONTEXT, work: int = 1
) -> Parts:
    """Return the parts of a bundle that goes on from ``told``'s first tokens with its others, ``work`` at each."""
    ids = [float(VOCABULARY[token]) for token in told]
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config |= {"chat_template": TEMPLATE} if chat else {}
    return Parts(
        files={
            "model.onnx": model_bytes(table(told), work),
            "tokenizer.json": tokenizer_json().encode(),
            "genai_config.json": json.dumps(genai_config(context)).encode(),
            "tokenizer_config.json": json.dumps(config).encode(),
        },
        changes={
            "name": name,
            "task": "text-generation",
            "pooling": None,
            "model": ModelInfo("model.onnx", ("input_ids", "attention_mask"), "logits", len(VOCABULARY)),
            "tokenizer": TokenizerInfo("tokenizer.json", context, 0),
            "golden": Golden((PROMPT,), (), (tuple(ids[2:]),), 1, 0),
        },
    )
