"""Causal ONNX graphs with a cache, as optimum and others export them, made ready for onnxruntime-genai's loop."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from toolkit.errors import ModelError
from toolkit.runtime.manifest import GENAI_CONFIG
from toolkit.sources.files import Fields

CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
TOKENS = ("input_ids", "attention_mask", "position_ids")
_NUMBER = re.compile(r"\d+")


def prepare(graph: Path, config: Fields, generation: Fields | None, out: Path) -> None:
    """Copy a graph into ``out`` and write ``genai_config.json`` beside it.

    ModelError in words for a graph that onnxruntime-genai's loop cannot run.
    """
    model = ir.load(graph)
    inputs = {str(value.name): value for value in model.graph.inputs}
    outputs = [str(value.name) for value in model.graph.outputs]
    keys = _pairs(graph, inputs, outputs)
    heads, head = _cache_shape(graph, inputs[keys["past_key"].replace("%d", "0")])
    decoder = {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
        "filename": graph.name,
        "head_size": head,
        "hidden_size": config.integer("hidden_size", config.integer("n_embd", heads * head, minimum=1), minimum=1),
        "num_attention_heads": config.integer("num_attention_heads", config.integer("n_head", heads), minimum=1),
        "num_hidden_layers": sum(bool(re.fullmatch(_as_pattern(keys["past_key"]), name)) for name in inputs),
        "num_key_value_heads": heads,
        "inputs": {
            **{name: name for name in TOKENS if name in inputs},
            **{f"past_{kind}_names": keys[f"past_{kind}"] for kind in ("key", "value")},
        },
        "outputs": {
            "logits": "logits",
            **{f"present_{kind}_names": keys[f"present_{kind}"] for kind in ("key", "value")},
        },
    }
    content = {"model": {**_model(graph, model, config, generation), "decoder": decoder}, "search": _SEARCH}
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(graph, out / graph.name)
    for data in graph.parent.glob(f"{graph.name}[._]data"):
        shutil.copyfile(data, out / data.name)
    (out / GENAI_CONFIG).write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


_SEARCH = {"do_sample": False, "num_beams": 1, "past_present_share_buffer": False}


def has_cache(graph: Path) -> bool:
    """Tell whether a graph takes what it computed for earlier tokens."""
    return any("past" in str(value.name) for value in ir.load(graph).graph.inputs)


def _pairs(graph: Path, inputs: Mapping[str, ir.Value], outputs: Sequence[str]) -> dict[str, str]:
    """Return the patterns of the names of the cache's inputs and outputs, ``%d`` for the layer."""
    expected = f"{', '.join(TOKENS)}, past_key_values.N.key and .value; logits, present.N.key and .value"
    found = {
        "past_key": _pattern(inputs, "past", "key"),
        "past_value": _pattern(inputs, "past", "value"),
        "present_key": _pattern(outputs, "present", "key"),
        "present_value": _pattern(outputs, "present", "value"),
    }
    patterns = [_as_pattern(pattern) for pattern in found.values()]
    others = [name for name in inputs if name not in TOKENS and not any(re.fullmatch(one, name) for one in patterns)]
    if "" in found.values() or others or "logits" not in outputs or "input_ids" not in inputs:
        got = f"{', '.join(others) or ', '.join(inputs)}; {', '.join(outputs[:3])}"
        hint = "export it as text-generation-with-past, without merging it: optimum-cli export onnx --no-post-process"
        what = "onnxruntime-genai cannot generate with this graph"
        raise ModelError(what, where=graph, got=got, expected=expected, hint=hint)
    return found


def _pattern(names: Mapping[str, Any] | Sequence[str], start: str, end: str) -> str:
    """Return the name that stands for one kind in all layers, or nothing if there is none."""
    kind = [name for name in names if name.startswith(start) and re.search(rf"[._]{end}\b|\b{end}[._]", name)]
    patterns = {_NUMBER.sub("%d", name, count=1) for name in kind}
    return patterns.pop() if len(patterns) == 1 else ""


def _as_pattern(pattern: str) -> str:
    return re.escape(pattern).replace("%d", r"\d+")


def _cache_shape(graph: Path, past: ir.Value) -> tuple[int, int]:
    shape = past.shape
    if shape is None or len(shape) != 4 or not isinstance(shape[1], int) or not isinstance(shape[3], int):
        what = "the shape of the graph's cache is not known"
        raise ModelError(what, where=f"{graph}: {past.name}", got=shape, expected="[batch, heads, tokens, width]")
    return shape[1], shape[3]


def _model(graph: Path, model: ir.Model, config: Fields, generation: Fields | None) -> dict[str, Any]:
    logits = next(value for value in model.graph.outputs if value.name == "logits")
    size = logits.shape[-1] if logits.shape is not None else None
    context = next((config.integer(name, minimum=1) for name in CONTEXT if name in config.values), None)
    if context is None or not isinstance(size, int):
        expected = f"the context as one of {', '.join(CONTEXT)} in config.json, and logits [batch, tokens, vocabulary]"
        raise ModelError("the sizes of the model are not known", where=graph, got=(context, size), expected=expected)
    ids = {**config.values, **(generation.values if generation else {})}
    ends = ids.get("eos_token_id")
    every = [one for one in (ends if isinstance(ends, list) else [ends]) if isinstance(one, int) and one < size]
    start, pad = ids.get("bos_token_id"), ids.get("pad_token_id")
    known = every[0] if every else 0
    return {
        "type": "decoder",
        "vocab_size": size,
        "context_length": context,
        "bos_token_id": start if isinstance(start, int) and start < size else known,
        "eos_token_id": every,
        "pad_token_id": pad if isinstance(pad, int) and pad < size else known,
    }
