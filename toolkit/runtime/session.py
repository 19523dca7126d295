"""A loaded model on one of the two engines: made from the manifest's settings, with its failures in words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from toolkit.runtime.arrays import FloatArray, IntArray
from toolkit.runtime.errors import BundleError, EdgequantError, EngineError
from toolkit.runtime.host import Host, as_host
from toolkit.runtime.manifest import ModelInfo, SessionInfo

__all__ = ["EngineSession", "FloatArray", "IntArray", "Session", "in_words"]


class EngineSession(Protocol):
    """What an engine makes of a model; each fails with an EngineError that holds onnxruntime's message."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the model's inputs."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the model's outputs."""
        ...

    def run(self, feed: Mapping[str, IntArray], output: str) -> FloatArray:
        """Return one output, float32 of any rank."""
        ...


class Session:
    """A loaded model: int64 arrays in, one float32 array out, ``[batch, dimension]`` or one such row a token."""

    def __init__(
        self, model: bytes | Path | EngineSession, info: ModelInfo, settings: SessionInfo, host: Host | int
    ) -> None:
        """Load on a host; a number is one's threads. A session that is given runs as it was opened."""
        self.where = str(model) if isinstance(model, Path) else f"{info.file} (in memory)"
        self.info = info
        with in_words("onnxruntime cannot load the model", self.where):
            self._engine: EngineSession = (
                open_session(model, settings, as_host(host)) if isinstance(model, bytes | Path) else model
            )
        self._check("inputs are", set(self._engine.inputs), set(info.inputs))
        outputs = set(self._engine.outputs)
        self._check("output is", outputs & {info.output} or outputs, {info.output})

    def run(self, feed: Mapping[str, IntArray], rank: int = 2) -> FloatArray:
        """Return the model's output, ``[batch, dimension]``, for a rank of 3 ``[batch, length, dimension]``.

        BundleError if it fails, or has another shape than the manifest says.
        """
        missing = sorted(set(self.info.inputs) - feed.keys())
        if missing:  # the C API would run the model without, and a kernel may not look before it reads
            raise BundleError("the model is given too few inputs", where=self.where, got=f"no {', '.join(missing)}")
        with in_words("the model failed", self.where):
            output = self._engine.run(feed, self.info.output)
        expected = (*feed["input_ids"].shape[: rank - 1], self.info.dimension)
        if output.shape != expected:
            what = f"output {self.info.output!r} has another shape than the manifest says"
            raise BundleError(what, where=self.where, got=output.shape, expected=expected)
        return output

    def _check(self, what: str, got: set[str], expected: set[str]) -> None:
        if got != expected:
            named = {"got": ", ".join(sorted(got)), "expected": ", ".join(sorted(expected))}
            raise BundleError(f"the model's {what} not the manifest's", where=self.where, **named)


def open_session(model: bytes | Path, settings: SessionInfo, host: Host) -> EngineSession:
    """Load the model on the host's engine; the other engine's modules are not imported."""
    if host.chosen_engine() == "capi":
        from toolkit.runtime.engine_capi import CapiSession  # noqa: PLC0415 - one of two

        return CapiSession(model, settings, host.thread_count(), host.library_path())
    try:
        from toolkit.runtime.engine_python import PythonSession  # noqa: PLC0415 - one of two
    except ImportError as error:
        what, hint = (
            "the engine python needs numpy and onnxruntime's package",
            "pip install them, or take the engine capi",
        )
        raise EdgequantError(what, got=error, hint=hint) from error

    return PythonSession(model, settings, host.thread_count())


@contextmanager
def in_words(what: str, where: str | Path) -> Iterator[None]:
    """Turn an engine's failure into a BundleError that begins with ``what``, or into MemoryError."""
    try:
        yield
    except EngineError as error:
        message = shortened(error)
        if "allocate memory" in message or "bad_alloc" in message:
            raise MemoryError(f"{what}: {message}") from None
        raise BundleError(what, where=where, got=message) from error


def shortened(error: EngineError) -> str:
    """Return an engine's message on one line, the beginning of a long one."""
    return " ".join(str(error).split())[:500]
