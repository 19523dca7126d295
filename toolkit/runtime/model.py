"""A text model: tokenizer and session together. Every int8 and float model is run by this code."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.runtime.cpu import available_threads
from toolkit.runtime.errors import BundleError, TextError, UsageError
from toolkit.runtime.manifest import ModelInfo, SessionInfo, TokenizerInfo
from toolkit.runtime.session import FloatArray, Session
from toolkit.runtime.tokenization import MAX_BATCH, Text, TextTokenizer, plan_batches

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
        text; BundleError if the model fails or its output is not finite.
        """
        out = self.raw(texts, batch_size)
        bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
        if len(bad):
            got = f"{len(bad)} of {len(out)}, the first is text {bad[0]}"
            raise BundleError("the model's output is NaN or infinite", where=self._session.where, got=got)
        return out

    def raw(self, texts: Sequence[Text], batch_size: int | None = None) -> FloatArray:
        """Return what ``run`` returns, finite or not: for whoever judges the model."""
        if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__"):
            raise TextError("texts are not a list of strings", got=type(texts).__name__, hint="wrap one text: [text]")
        if batch_size is not None and batch_size < 1:
            raise UsageError("the batch size is too small", got=batch_size, expected="at least 1")
        every = list(texts)
        out = np.empty((len(every), self.info.dimension), dtype=np.float32)
        for start in range(0, len(every), _WINDOW):
            part = slice(start, start + _WINDOW)
            self._run_window(every[part], batch_size or MAX_BATCH, out[part])
        return out

    def _run_window(self, texts: Sequence[Text], max_batch: int, out: FloatArray) -> None:
        encoded = self._tokenizer.encode(texts)
        lengths = [max(1, len(text.ids)) for text in encoded]
        for batch in plan_batches(lengths, self._max_tokens, max_batch):
            feed = self._tokenizer.arrays([encoded[index] for index in batch], self.info.inputs)
            out[batch] = self._session.run(feed)
