"""A text model: tokenizer and session together. Every int8 and float model is run by this code."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.runtime.cpu import available_threads
from toolkit.runtime.errors import BundleError, TextError, UsageError
from toolkit.runtime.manifest import ModelInfo, SessionInfo, TokenizerInfo
from toolkit.runtime.session import FloatArray, Session
from toolkit.runtime.tokenization import MAX_BATCH, Encoded, Text, TextTokenizer, plan_batches

BoolArray = np.ndarray[Any, np.dtype[np.bool_]]

_WINDOW = 4096  # texts whose tokens are held at one time


class TextModel:
    """Runs texts of mixed lengths through an ONNX model, in batches with little padding.

    ``model`` is a path or the file's bytes, ``tokenizer_json`` the tokenizer's text; ``threads`` defaults to
    what this process may use. BundleError if the two cannot be loaded or do not fit the infos.
    """

    def __init__(
        self,
        model: bytes | Path,
        tokenizer_json: str,
        model_info: ModelInfo,
        tokenizer_info: TokenizerInfo,
        session_info: SessionInfo,
        threads: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError("the number of threads is too small", got=threads, expected="at least 1")
        self.info = model_info
        self.threads = threads or available_threads()
        self._max_tokens = session_info.max_batch_tokens
        self._tokenizer = TextTokenizer(tokenizer_json, tokenizer_info)
        self._session = Session(model, model_info, session_info, self.threads)

    def run(self, texts: Sequence[Text], batch_size: int | None = None) -> FloatArray:
        """Return the model's outputs, float32 ``[len(texts), dimension]``, in the order given.

        ``batch_size`` is the most texts run together, 64 by default. TextError names the index of what is no
        text; BundleError if the model fails, gives numbers for tokens, or its output is not finite.
        """
        out = self.raw(texts, batch_size)
        self._require_finite(np.asarray(~np.isfinite(out).all(axis=1)))
        return out

    def raw(self, texts: Sequence[Text], batch_size: int | None = None) -> FloatArray:
        """Return what ``run`` returns, finite or not: for whoever judges the model."""
        every = _as_list(texts, batch_size)
        out = np.empty((len(every), self.info.dimension), dtype=np.float32)
        for start in range(0, len(every), _WINDOW):
            encoded = self._tokenizer.encode(every[start : start + _WINDOW])
            for batch, output in self._run_window(encoded, batch_size or MAX_BATCH, 2):
                out[[start + index for index in batch]] = output
        return out

    def run_tokens(
        self, texts: Sequence[Text], batch_size: int | None = None
    ) -> tuple[list[Encoded], list[FloatArray]]:
        """Return each text's tokens with their places, and the model's outputs, float32 ``[tokens, dimension]`` each.

        Errors are those of ``run``.
        """
        encoded, out = self.raw_tokens(texts, batch_size)
        self._require_finite(np.array([not np.isfinite(rows).all() for rows in out], bool))
        return encoded, out

    def raw_tokens(
        self, texts: Sequence[Text], batch_size: int | None = None
    ) -> tuple[list[Encoded], list[FloatArray]]:
        """Return what ``run_tokens`` returns, finite or not."""
        every = _as_list(texts, batch_size)
        encoded: list[Encoded] = []
        out: list[FloatArray] = []
        for start in range(0, len(every), _WINDOW):
            window = self._tokenizer.encode(every[start : start + _WINDOW], places=True)
            rows: dict[int, FloatArray] = {}
            for batch, output in self._run_window(window, batch_size or MAX_BATCH, 3):
                rows |= {index: row[: len(window[index].ids)] for index, row in zip(batch, output, strict=True)}
            encoded += window
            out += [rows[index] for index in range(len(window))]
        return encoded, out

    def flat(self, texts: Sequence[Text], *, by_token: bool) -> list[FloatArray]:
        """Return each text's numbers in one row, finite or not: ``[dimension]``, or that for each token in turn."""
        return [rows.reshape(-1) for rows in (self.raw_tokens(texts)[1] if by_token else self.raw(texts))]

    def _run_window(
        self, encoded: Sequence[Encoded], max_batch: int, rank: int
    ) -> Iterator[tuple[list[int], FloatArray]]:
        lengths = [max(1, len(text.ids)) for text in encoded]
        for batch in plan_batches(lengths, self._max_tokens, max_batch):
            feed = self._tokenizer.arrays([encoded[index] for index in batch], self.info.inputs)
            yield batch, self._session.run(feed, rank)

    def _require_finite(self, bad: BoolArray) -> None:
        if bad.any():
            got = f"{int(bad.sum())} of {len(bad)}, the first is text {int(bad.argmax())}"
            raise BundleError("the model's output is NaN or infinite", where=self._session.where, got=got)


def _as_list(texts: Sequence[Text], batch_size: int | None) -> list[Text]:
    if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__"):
        raise TextError("texts are not a list of strings", got=type(texts).__name__, hint="wrap one text: [text]")
    if batch_size is not None and batch_size < 1:
        raise UsageError("the batch size is too small", got=batch_size, expected="at least 1")
    return list(texts)
