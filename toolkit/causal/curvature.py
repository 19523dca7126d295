"""What GPTQ wants to know of a layer's inputs: ``x.T @ x`` over the tokens of the calibration set."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from toolkit.causal.graph import save_graph
from toolkit.errors import ModelError, NumericsError
from toolkit.lower import Linear
from toolkit.numerics.blocks import Doubles
from toolkit.progress import Track, silent

AT_ONCE = 1 << 30
"""Bytes of curvatures that are held in one pass over the texts."""

Tokens = Sequence[int]


@dataclass(frozen=True)
class Sight:
    """What a float graph is observed on: tokens of texts; the graph may leave the shape of its cache open."""

    texts: Sequence[Tokens]
    heads: int
    head_size: int
    threads: int | None = None


def curvatures(
    model: ir.Model, linears: Sequence[Linear], sight: Sight, track: Track = silent
) -> Iterator[Mapping[str, Doubles]]:
    """Yield the curvature [K, K] of inputs by name, as many at a time as memory allows, all of them in the end.

    NumericsError where an input is not finite, ModelError for a graph that asks for more than tokens and their cache.
    """
    widths = {linear.input: len(linear.weight) for linear in linears}
    passes = _passes(widths)
    for number, names in enumerate(passes, 1):
        with tempfile.TemporaryDirectory(prefix="edgequant-") as folder:
            session = _session(model, names, Path(folder) / "observed.onnx", sight.threads)
            found = {name: np.zeros((widths[name], widths[name])) for name in names}
            what = "observe activations" + (f" ({number} of {len(passes)})" if len(passes) > 1 else "")
            for tokens in track(sight.texts, what, len(sight.texts)):
                for name, values in zip(names, session.run(names, _feed(session, tokens, sight)), strict=True):
                    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
                    found[name] += rows.T @ rows
        for name in names:
            if not np.isfinite(found[name]).all():
                raise NumericsError("an activation is not finite on calibration data", where=name)
        yield found


def _passes(widths: Mapping[str, int]) -> list[list[str]]:
    passes: list[list[str]] = [[]]
    held = 0
    for name, width in widths.items():
        size = 8 * width * width
        if passes[-1] and held + size > AT_ONCE:
            passes.append([])
            held = 0
        passes[-1].append(name)
        held += size
    return passes


def _session(model: ir.Model, names: Sequence[str], path: Path, threads: int | None) -> Any:  # noqa: ANN401 - untyped library
    """Return a session of the float graph that also gives the named tensors."""
    copy = model.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    for name in names:
        values[name].type = ir.TensorType(ir.DataType.FLOAT)
    copy.graph.outputs.extend(values[name] for name in names)
    save_graph(copy, path)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _feed(session: Any, tokens: Tokens, sight: Sight) -> dict[str, Any]:  # noqa: ANN401 - untyped library
    """Return the tokens as the graph takes them before anything is in its cache."""
    count = len(tokens)
    known = {
        "input_ids": np.array([tokens], np.int64),
        "attention_mask": np.ones((1, count), np.int64),
        "position_ids": np.arange(count, dtype=np.int64)[None],
    }
    feed = {}
    for value in session.get_inputs():
        if value.name in known:
            feed[value.name] = known[value.name]
        elif value.name.startswith("past") and len(value.shape) == 4:
            feed[value.name] = np.zeros((1, sight.heads, 0, sight.head_size), np.float32)
        else:
            expected = "input_ids, attention_mask, position_ids and a cache past…"
            raise ModelError("the graph asks for an input that is not known", got=value.name, expected=expected)
    return feed
