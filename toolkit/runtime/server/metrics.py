"""Counters in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64)

_PREFIX = "edgequant_"
_MEMORY = {"VmRSS:": "now", "VmHWM:": "peak"}

Labels = tuple[tuple[str, str], ...]


@dataclass
class Histogram:
    """How many values were at most each bound, their sum and count."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: Labels) -> Iterator[str]:
        """Yield the histogram's lines, its buckets cumulative."""
        below = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            below += count
            yield _line(f"{name}_bucket", (*labels, ("le", str(bound))), below)
        yield _line(f"{name}_sum", labels, self.total)
        yield _line(f"{name}_count", labels, below)


class Metrics:
    """All of a server's numbers. A model's are written by its own worker, the others by the event loop."""

    def __init__(self) -> None:
        self.requests: dict[Labels, int] = {}
        self.rejected: dict[Labels, int] = {}
        self.seconds: dict[Labels, Histogram] = {}
        self.batches: dict[Labels, Histogram] = {}
        self.tokens: dict[Labels, int] = {}
        self.generated: dict[Labels, int] = {}
        self.queues: dict[Labels, Callable[[], int]] = {}
        self.models: dict[Labels, int] = {}
        self.connections = 0

    def add_model(self, name: str, task: str, target: str, queue: Callable[[], int]) -> None:
        """Make room for a model's numbers; ``queue`` tells how many of its requests run or wait."""
        labels = (("model", name),)
        self.models[(*labels, ("task", task), ("target", target))] = 1
        self.queues[labels] = queue
        self.tokens[labels] = 0
        if task == "text-generation":
            self.generated[labels] = 0
        else:
            self.batches[labels] = Histogram(_TEXTS)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answer, its time from the whole head to the last byte sent."""
        labels = (("route", route),)
        _count(self.requests, (*labels, ("status", str(status))))
        self.seconds.setdefault(labels, Histogram(_SECONDS)).add(seconds)

    def refused(self, reason: str) -> None:
        """Count one request that was not taken on for want of room or time."""
        _count(self.rejected, (("reason", reason),))

    def ran(self, model: str, texts: int, tokens: int) -> None:
        """Count one batch."""
        labels = (("model", model),)
        self.batches[labels].add(texts)
        self.tokens[labels] += tokens

    def wrote(self, model: str, prompt: int, text: int) -> None:
        """Count the tokens of one text that was generated."""
        labels = (("model", model),)
        self.tokens[labels] += prompt + text
        self.generated[labels] += text

    def page(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return ("\n".join(self._lines()) + "\n").encode()

    def _lines(self) -> Iterator[str]:
        yield from _family("requests_total", "counter", "Answers by route and status.", self.requests)
        yield from _histograms("request_seconds", "Seconds from a request's head to its answer.", self.seconds)
        yield from _family("rejected_total", "counter", "Requests refused for want of room or time.", self.rejected)
        depths = {labels: depth() for labels, depth in self.queues.items()}
        yield from _family("queue_requests", "gauge", "Requests that run or wait.", depths)
        yield from _histograms("batch_texts", "Texts run together.", self.batches)
        yield from _family("tokens_total", "counter", "Tokens run.", self.tokens)
        yield from _family("generated_tokens_total", "counter", "Tokens of texts that were generated.", self.generated)
        yield from _family("models", "gauge", "Models that are served.", self.models)
        yield from _family("connections", "gauge", "Open connections.", {(): self.connections})
        memory = {(("kind", kind),): size for kind, size in memory_bytes().items()}
        yield from _family("memory_bytes", "gauge", "Resident memory, now and at its peak.", memory)


def memory_bytes(status: Path = Path("/proc/self/status")) -> dict[str, int]:
    """Return this process's resident memory in bytes, ``now`` and ``peak``; nothing where Linux does not tell."""
    try:
        pairs = (line.split() for line in status.read_text().splitlines())
        return {_MEMORY[words[0]]: int(words[1]) * 1024 for words in pairs if words[0] in _MEMORY}
    except OSError:
        return {}


def _count(counters: dict[Labels, int], labels: Labels) -> None:
    counters[labels] = counters.get(labels, 0) + 1


def _family(name: str, kind: str, what: str, values: Mapping[Any, int]) -> Iterator[str]:
    yield from _head(name, kind, what)
    for labels, value in values.items():
        yield _line(name, labels, value)


def _histograms(name: str, what: str, values: Mapping[Labels, Histogram]) -> Iterator[str]:
    yield from _head(name, "histogram", what)
    for labels, histogram in values.items():
        yield from histogram.lines(name, labels)


def _head(name: str, kind: str, what: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {what}"
    yield f"# TYPE {_PREFIX}{name} {kind}"


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{_PREFIX}{name}{{{inside}}} {value}" if inside else f"{_PREFIX}{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
