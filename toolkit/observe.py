"""Observation: what flows into every linear layer on calibration data, in memory that does not grow with the data.

Sentences are fed in groups of equal token length, so no padding is ever seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from toolkit.errors import DataError, NumericsError
from toolkit.feeds import Feed
from toolkit.lower import Lowered
from toolkit.lower.linear import Float
from toolkit.progress import Track, silent

SAMPLE_ROWS = 256


@dataclass(frozen=True)
class Activation:
    """What was seen of one tensor whose last axis has K channels."""

    minimum: Float  # [K]
    maximum: Float  # [K]
    sample: Float  # [rows, K]: a uniform sample of the tokens seen, at most SAMPLE_ROWS
    tokens: int
    moment: Float  # [K, K]: the mean of x.T @ x over the tokens seen

    @classmethod
    def union(cls, seen: Sequence["Activation"]) -> "Activation":
        """Return what was seen of several tensors as if it were one: as much of each sample as of the others."""
        rows = [one.sample[number :: len(seen)] for number, one in enumerate(seen)]
        return cls(
            np.min([one.minimum for one in seen], axis=0),
            np.max([one.maximum for one in seen], axis=0),
            np.concatenate(rows),
            sum(one.tokens for one in seen),
            np.average([one.moment for one in seen], 0, [one.tokens for one in seen]).astype(np.float32),
        )


@dataclass(frozen=True)
class Ranges:
    """What was seen, by the name of the tensor."""

    activations: Mapping[str, Activation]
    sentences: int
    tokens: int


class _Accumulator:
    """Streaming extremes of one tensor, and its rows with the smallest random keys: a uniform sample."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._random = np.random.default_rng(0)
        self._seen: Activation | None = None
        self._keys: npt.NDArray[np.float64] = np.empty(0)
        self._sum: Float = np.zeros(0, np.float32)

    def add(self, values: Float) -> None:
        rows = values.reshape(-1, values.shape[-1])
        low, high = rows.min(0), rows.max(0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise NumericsError(
                "an activation is not finite on calibration data",
                where=self._name,
                got=f"{int((~np.isfinite(rows)).sum())} numbers of {rows.size} are NaN or infinite",
                hint="the float model itself overflows: try another checkpoint or look at this layer's weights",
            )
        with np.errstate(over="ignore", invalid="ignore"):  # a moment that is not finite is of no use, and is not used
            self._sum = rows.T @ rows if self._seen is None else np.add(self._sum, rows.T @ rows, out=self._sum)
        keys = self._random.random(len(rows))
        seen = self._seen
        if seen is None:
            sample, tokens = rows, len(rows)
        else:
            low, high = np.minimum(seen.minimum, low), np.maximum(seen.maximum, high)
            sample, tokens = np.concatenate([seen.sample, rows]), seen.tokens + len(rows)
        keys = np.concatenate([self._keys, keys])
        kept = np.sort(np.argsort(keys, kind="stable")[:SAMPLE_ROWS])
        self._keys = keys[kept]
        self._seen = Activation(low, high, np.ascontiguousarray(sample[kept]), tokens, self._sum)

    def result(self) -> Activation:
        if self._seen is None:
            raise DataError("nothing was observed", where=self._name, hint="the calibration set is empty")
        return replace(self._seen, moment=self._sum / np.float32(self._seen.tokens))


def observe(lowered: Lowered, feeds: Sequence[Feed], track: Track = silent) -> Ranges:
    """Run the float graph over the feeds and return what flowed into its linear layers.

    Raises NumericsError for NaN or infinity and DataError when there is nothing to run.
    """
    names = sorted({linear.input for linear in lowered.linears})
    session = _session(lowered.model, names)
    accumulators = {name: _Accumulator(name) for name in names}
    sentences = tokens = 0
    for feed in track(feeds, "observe activations", len(feeds)):
        shape = next(iter(feed.values())).shape
        sentences, tokens = sentences + shape[0], tokens + shape[0] * shape[1]
        for name, values in _run(session, names, feed):
            accumulators[name].add(values)
    if not sentences:
        raise DataError("the calibration set is empty", hint="give at least a few hundred typical texts")
    seen = {name: accumulator.result() for name, accumulator in accumulators.items()}
    return Ranges(_pooled(lowered, seen), sentences, tokens)


def _pooled(lowered: Lowered, seen: Mapping[str, Activation]) -> Mapping[str, Activation]:
    """Return what was seen, as one where the same weights are used again: their int8 form is then the same too."""
    weights: dict[str, list[str]] = {}
    for linear in lowered.linears:
        weights.setdefault(linear.input, []).append(linear.weight_digest)
    uses: dict[tuple[str, ...], list[str]] = {}
    for name, digests in weights.items():
        uses.setdefault(tuple(digests), []).append(name)
    pools = {name: names for names in uses.values() for name in names}
    return {name: Activation.union([seen[other] for other in pools[name]]) for name in seen}


def _run(session: Any, names: list[str], feed: Feed) -> Iterable[tuple[str, Float]]:  # noqa: ANN401 - untyped library
    # Asked for no names, onnxruntime gives every output.
    return zip(names, session.run(names, dict(feed)) if names else (), strict=True)


def _session(model: ir.Model, names: list[str]) -> Any:  # noqa: ANN401 - untyped library
    """Return a session of the float graph that also gives the named tensors."""
    copy = model.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    values |= {value.name: value for value in copy.graph.inputs}
    outputs = {value.name for value in copy.graph.outputs}
    for name in names:
        if name not in outputs:
            value = values[name]
            value.type = ir.TensorType(ir.DataType.FLOAT)
            copy.graph.outputs.append(value)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(ir.to_proto(copy).SerializeToString(), options, providers=["CPUExecutionProvider"])
