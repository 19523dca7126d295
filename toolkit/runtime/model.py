"""A text model: tokenizer and session together. Every int8 and float model is run by this code."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from toolkit.runtime.arrays import FLOAT_BYTES, FloatArray, flat, float_bytes, floats
from toolkit.runtime.errors import BundleError, TextError, UsageError
from toolkit.runtime.host import Host, as_host
from toolkit.runtime.manifest import ModelInfo, SessionInfo, TokenizerInfo
from toolkit.runtime.maths import all_finite
from toolkit.runtime.session import EngineSession, Session
from toolkit.runtime.tokenization import MAX_BATCH, Encoded, Special, Text, TextTokenizer, plan_batches
from toolkit.runtime.windows import Pieces, Windows, pieces

_CHUNK = 4096  # texts whose tokens are held at one time


class TextModel:
    """Runs texts of mixed lengths through an ONNX model, in batches with little padding.

    ``model`` is a path, the file's bytes or a session that is open; ``tokenizer_json`` is the tokenizer's text;
    ``host`` says how to run, or how many threads, by default all that this process may use. BundleError if the two
    cannot be loaded or do not fit the infos.
    """

    def __init__(
        self,
        model: bytes | Path | EngineSession,
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
        for start in range(0, len(every), _CHUNK):
            encoded = self._tokenizer.encode(every[start : start + _CHUNK])
            for batch, output in self._run_batches(encoded, batch_size or MAX_BATCH, 2):
                found = float_bytes(output)
                for row, index in enumerate(batch):
                    place = (start + index) * size
                    out[place : place + size] = found[row * size : (row + 1) * size]
        return floats(out, (len(every), self.info.dimension))

    def run_windows(
        self, texts: Sequence[Text], windows: Windows, batch_size: int | None = None
    ) -> list[tuple[list[int], list[FloatArray]]]:
        """Return each text's windows: how many of its tokens each holds, and its output, float32 ``[dimension]``.

        Errors are those of ``run``; TextError for a pair.
        """
        every = _as_list(texts, batch_size)
        found: list[tuple[list[int], list[FloatArray]]] = []
        for start in range(0, len(every), _CHUNK):
            cut = self._cut(every[start : start + _CHUNK], windows)
            outputs = self._run_windows([text.windows for text in cut], batch_size, 2)
            found += zip((text.weights for text in cut), outputs, strict=True)
        self._require_finite([all(all_finite(row.tolist()) for row in rows) for _, rows in found])
        return found

    def run_tokens(
        self, texts: Sequence[Text], batch_size: int | None = None, windows: Windows | None = None
    ) -> tuple[list[Encoded], list[FloatArray]]:
        """Return each text's tokens with their places, and the model's outputs, float32 ``[tokens, dimension]`` each.

        Without ``windows`` long texts are cut. Errors are those of ``run``; TextError for a pair with windows.
        """
        encoded, out = self.raw_tokens(texts, batch_size, windows)
        self._require_finite([all_finite(flat(rows).tolist()) for rows in out])
        return encoded, out

    def raw_tokens(
        self, texts: Sequence[Text], batch_size: int | None = None, windows: Windows | None = None
    ) -> tuple[list[Encoded], list[FloatArray]]:
        """Return what ``run_tokens`` returns, finite or not."""
        every = _as_list(texts, batch_size)
        encoded: list[Encoded] = []
        out: list[FloatArray] = []
        for start in range(0, len(every), _CHUNK):
            some = every[start : start + _CHUNK]
            if windows is None:
                cut = [
                    pieces(text, Special(0, 0), len(text.ids), 0) for text in self._tokenizer.encode(some, places=True)
                ]
            else:
                cut = self._cut(some, windows, places=True)
            outputs = self._run_windows([text.windows for text in cut], batch_size, 3)
            encoded += [text.whole for text in cut]
            out += [text.rows(rows) for text, rows in zip(cut, outputs, strict=True)]
        return encoded, out

    def count_tokens(self, texts: Sequence[Text], windows: Windows | None = None) -> list[int]:
        """Return how many tokens of each text the model reads, special ones included, padding not."""
        if windows is None:
            return [len(text.ids) for text in self._tokenizer.encode(texts)]
        return [sum(len(window.ids) for window in text.windows) for text in self._cut(texts, windows)]

    def flat(self, texts: Sequence[Text], *, by_token: bool) -> list[FloatArray]:
        """Return each text's numbers in one row, finite or not: ``[dimension]``, or that for each token in turn."""
        return [flat(rows) for rows in self.raw_tokens(texts)[1]] if by_token else list(self.raw(texts))

    def _cut(self, texts: Sequence[Text], windows: Windows, *, places: bool = False) -> list[Pieces]:
        room = self._tokenizer.room
        overlap = windows.overlap_in(room)
        found = self._tokenizer.encode_whole(texts, places=places)
        return [pieces(whole, special, room, overlap) for whole, special in found]

    def _run_windows(
        self, texts: Sequence[Sequence[Encoded]], batch_size: int | None, rank: int
    ) -> list[list[FloatArray]]:
        """Return the output of each window of each text.

        First windows run in the batches that they have without windows, so a text that fits has the same bits.
        """
        firsts = self._run_each([windows[0] for windows in texts], batch_size, rank)
        rest = iter(self._run_each([window for windows in texts for window in windows[1:]], batch_size, rank))
        return [[first, *islice(rest, len(windows) - 1)] for first, windows in zip(firsts, texts, strict=True)]

    def _run_each(self, encoded: Sequence[Encoded], batch_size: int | None, rank: int) -> list[FloatArray]:
        rows: dict[int, FloatArray] = {}
        for batch, output in self._run_batches(encoded, batch_size or MAX_BATCH, rank):
            for index, row in zip(batch, output, strict=True):
                rows[index] = row[: len(encoded[index].ids)] if rank == 3 else row
        return [rows[index] for index in range(len(encoded))]

    def _run_batches(
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
