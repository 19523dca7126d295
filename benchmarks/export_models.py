"""Tiny encoders of random weights, and any encoder as the field's tools export it; for exports.py. Needs torch."""

import contextlib
import logging
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
import transformers
from onnxruntime.transformers import float16, optimizer

Exporter = Literal["optimum", "torchscript", "dynamo"]
Attention = Literal["eager", "sdpa"]

EXPORTERS: tuple[Exporter, ...] = ("optimum", "torchscript", "dynamo")
ATTENTIONS: tuple[Attention, ...] = ("eager", "sdpa")
OPSETS = (13, 14, 17, 18, 20)
HEADS, HIDDEN, VOCABULARY, POSITIONS = 4, 32, 100, 40
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "intermediate_size": 64,
    "max_position_embeddings": POSITIONS,
}
OF_DISTILBERT = {
    "vocab_size": VOCABULARY,
    "dim": HIDDEN,
    "n_layers": 2,
    "n_heads": HEADS,
    "hidden_dim": 64,
    "max_position_embeddings": POSITIONS,
}
FAMILIES: dict[str, tuple[str, dict[str, int]]] = {
    "bert": ("Bert", COMMON),
    "roberta": ("Roberta", COMMON | {"type_vocab_size": 1}),
    "distilbert": ("DistilBert", OF_DISTILBERT),
    "mpnet": ("MPNet", COMMON),
    "albert": ("Albert", COMMON | {"embedding_size": 16}),
    "electra": ("Electra", COMMON | {"embedding_size": 16}),
}
STEP = 1 / 64  # weights are multiples of it: files of them compress well
TYPED = ("bert", "albert", "electra")  # they read token_type_ids


@dataclass(frozen=True)
class Way:
    """How a model is exported."""

    exporter: Exporter
    attention: Attention
    opset: int


def tiny(family: str, folder: Path) -> Path:
    """Write a tiny model of random weights, biases and norms too, as a folder."""
    name, sizes = FAMILIES[family]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**sizes)
    model = getattr(transformers, f"{name}Model")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter)).div_(STEP).round_().mul_(STEP)
    model.save_pretrained(folder)
    return folder


def export(folder: Path, way: Way) -> bytes:
    """Return the graph of the encoder in a folder, giving token embeddings; raises what the exporter raises."""
    logging.disable(logging.WARNING)
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))  # the exporters' own talk
        warnings.simplefilter("ignore")
        path = Path(out) / "model.onnx"
        model = transformers.AutoModel.from_pretrained(folder, attn_implementation=way.attention).eval()
        if way.exporter == "optimum":
            _by_optimum(model, way, path.parent)
        else:
            _by_torch(model, way, path)
        return bytes(onnx.load(path).SerializeToString())


def fused(proto: bytes, heads: int, hidden: int) -> bytes:
    """Return what ONNX Runtime's optimizer for transformers makes of a graph: Attention and the like."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(proto)
        found = optimizer.optimize_model(str(path), model_type="bert", num_heads=heads, hidden_size=hidden)
        return bytes(found.model.SerializeToString())


def halved(proto: bytes) -> bytes:
    """Return a graph in float16, as ONNX Runtime's converter makes it."""
    half = float16.convert_float_to_float16(onnx.load_from_string(proto), keep_io_types=True)
    return bytes(half.SerializeToString())


def _by_optimum(model: torch.nn.Module, way: Way, out: Path) -> None:
    from optimum.exporters.onnx import onnx_export_from_model  # noqa: PLC0415 - slow

    onnx_export_from_model(model, out, task="feature-extraction", opset=way.opset, do_validation=False)


class _Encoder(torch.nn.Module):  # type: ignore[misc,unused-ignore]
    """An encoder that takes its tensors in a fixed order."""

    def __init__(self, model: torch.nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the token embeddings."""
        found: torch.Tensor = self.model(**dict(zip(self.names, tensors, strict=True))).last_hidden_state
        return found


def _by_torch(model: Any, way: Way, path: Path) -> None:  # noqa: ANN401 - untyped library
    names = ("input_ids", "attention_mask", *(("token_type_ids",) if model.config.model_type in TYPED else ()))
    dynamic: dict[str, Any]
    if way.exporter == "torchscript":
        axes = {0: "batch", 1: "sequence"}
        dynamic = {"dynamic_axes": dict.fromkeys((*names, "last_hidden_state"), axes)}
    else:
        positions = model.config.max_position_embeddings
        dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=positions)}
        shapes = (tuple(dims for _ in names),)
        dynamic = {"dynamic_shapes": shapes, "external_data": False, "verbose": False}
    torch.onnx.export(
        _Encoder(model, names),
        tuple(torch.ones((2, 8), dtype=torch.int64) for _ in names),
        path,
        input_names=list(names),
        output_names=["last_hidden_state"],
        opset_version=way.opset,
        dynamo=way.exporter == "dynamo",
        **dynamic,
    )
