"""A text model: tokenizer and session together. Every int8 and float model is run by this code."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from toolkit.runtime.arrays import FLOAT_BYTES, FloatArray, flat, float_bytes, floats
from toolkit.runtime.errors import BundleError, TextError, UsageError
from toolkit.runtime.host import Host, as_host
from toolkit.runtime.manifest import ModelInfo, SessionInfo, TokenizerInfo
from toolkit.runtime.maths import all_finite
from toolkit.runtime.session import Session
from toolkit.runtime.tokenization import MAX_BATCH, Encoded, Text, TextTokenizer, plan_batches

_WINDOW = 4096  # texts whose tokens are held at one time


class TextModel:
    """Runs texts of mixed lengths through an ONNX model, in batches with little padding.

    ``model`` is a path or the file's bytes, ``tokenizer_json`` the tokenizer's text; ``host`` says how to run,
    or how many threads, by default all that this process may use. BundleError if the two cannot be loaded or do
    not fit the infos.
    """

    def __init__(
        self,
        model: bytes | Path,
        tokenizer_json: str,
        model_info: ModelInfo,
        tokenizer_info: TokenizerInfo,
        session_info: SessionInfo,
        host: Host | int | None = None,
    ) -> None:
        chosen = as_host(host)
        self.info = model_info
        self.threads = chosen.thread_count()
        self._max_tokens = session_info.max_batch_tokens
        self._tokenizer = TextTokenizer(tokenizer_json, tokenizer_info)
        self._session = Session(model, model_info, session_info, chosen)

    def run(self, texts: Sequence[Text], batch_size: int | None = None) -> FloatArray:
        """Return the model's outputs, float32 ``[len(texts), dimension]``, in the order given.

        ``batch_size`` is the most texts run together, 64 by default. TextError names the index of what is no
        text; BundleError if the model fails, gives numbers for tokens, or its output is not finite.
        """
        out = self.raw(texts, batch_size)
        self._require_finite([all_finite(row.tolist()) for row in out])
        return out

    def raw(self, texts: Sequence[Text], batch_size: int | None = None) -> FloatArray:
        """Return what ``run`` returns, finite or not: for whoever judges the model."""
        every = _as_list(texts, batch_size)
        out, size = bytearray(len(every) * self._row_bytes), self._row_bytes
        for start in range(0, len(every), _WINDOW):
            encoded = self._tokenizer.encode(every[start : start + _WINDOW])
            for batch, output in self._run_window(encoded, batch_size or MAX_BATCH, 2):
                found = float_bytes(output)
                for row, index in enumerate(batch):
                    place = (start + index) * size
                    out[place : place + size] = found[row * size : (row + 1) * size]
        return floats(out, (len(every), self.info.dimension))

    def run_tokens(
        self, texts: Sequence[Text], batch_size: int | None = None
    ) -> tuple[list[Encoded], list[FloatArray]]:
        """Return each text's tokens with their places, and the model's outputs, float32 ``[tokens, dimension]`` each.

        Errors are those of ``run``.
        """
        encoded, out = self.raw_tokens(texts, batch_size)
        self._require_finite([all_finite(flat(rows).tolist()) for rows in out])
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

    def count_tokens(self, texts: Sequence[Text]) -> list[int]:
        """Return how many tokens of each text the model reads, special ones included, padding not."""
        return [len(text.ids) for text in self._tokenizer.encode(texts)]

    def flat(self, texts: Sequence[Text], *, by_token: bool) -> list[FloatArray]:
        """Return each text's numbers in one row, finite or not: ``[dimension]``, or that for each token in turn."""
        return [flat(rows) for rows in self.raw_tokens(texts)[1]] if by_token else list(self.raw(texts))

    def _run_window(
        self, encoded: Sequence[Encoded], max_batch: int, rank: int
    ) -> Iterator[tuple[list[int], FloatArray]]:
        lengths = [max(1, len(text.ids)) for text in encoded]
        for batch in plan_batches(lengths, self._max_tokens, max_batch):
            feed = self._tokenizer.arrays([encoded[index] for index in batch], self.info.inputs)
            yield batch, self._session.run(feed, rank)

    def _require_finite(self, good: Sequence[bool]) -> None:
        if not all(good):
            got = f"{good.count(False)} of {len(good)}, the first is text {good.index(False)}"
            raise BundleError("the model's output is NaN or infinite", where=self._session.where, got=got)

    @property
    def _row_bytes(self) -> int:
        return self.info.dimension * FLOAT_BYTES


def _as_list(texts: Sequence[Text], batch_size: int | None) -> list[Text]:
    if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__"):
        raise TextError("texts are not a list of strings", got=type(texts).__name__, hint="wrap one text: [text]")
    if batch_size is not None and batch_size < 1:
        raise UsageError("the batch size is too small", got=batch_size, expected="at least 1")
    return list(texts)
