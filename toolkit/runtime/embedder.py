"""Sentence embeddings."""

from collections.abc import Sequence
from typing import Literal, cast, overload

from toolkit.runtime import maths
from toolkit.runtime.arrays import FloatArray, from_rows
from toolkit.runtime.background import Background
from toolkit.runtime.model import TextModel
from toolkit.runtime.tokenization import Text
from toolkit.runtime.windows import Windows


class Embedder:
    """Embeds texts; pooling and normalization are part of the model's graph, ``normalized`` tells of the latter."""

    def __init__(self, model: TextModel, normalized: bool = False) -> None:
        self.model = model
        self.normalized = normalized
        self._background = Background()

    @property
    def dimension(self) -> int:
        """The length of an embedding."""
        return self.model.info.dimension

    def embed(
        self, texts: Sequence[Text] | str, batch_size: int | None = None, windows: Windows | None = None
    ) -> FloatArray:
        """Return float32 ``[len(texts), dimension]`` in the order given; ``[dimension]`` for one string.

        A long text is cut, or with ``windows`` has the mean of its windows' embeddings, each weighted by its tokens,
        and normalized if the model's embeddings are.
        """
        every = [texts] if isinstance(texts, str) else texts
        rows = self.model.run(every, batch_size) if windows is None else self._whole(every, batch_size, windows)
        return cast(FloatArray, rows[0]) if isinstance(texts, str) else rows

    @overload
    def encode(
        self,
        sentences: Sequence[str] | str,
        *,
        batch_size: int | None = None,
        normalize_embeddings: bool = False,
        convert_to_numpy: Literal[True] = True,
        windows: Windows | None = None,
    ) -> FloatArray: ...

    @overload
    def encode(
        self,
        sentences: Sequence[str] | str,
        *,
        batch_size: int | None = None,
        normalize_embeddings: bool = False,
        convert_to_numpy: bool,
        windows: Windows | None = None,
    ) -> FloatArray | list[list[float]] | list[float]: ...

    def encode(
        self,
        sentences: Sequence[str] | str,
        *,
        batch_size: int | None = None,
        normalize_embeddings: bool = False,
        convert_to_numpy: bool = True,
        windows: Windows | None = None,
    ) -> FloatArray | list[list[float]] | list[float]:
        """Return embeddings under the names of sentence-transformers' arguments: ``embed`` for who comes from there.

        ``normalize_embeddings`` brings them to length 1, where the model does not; without ``convert_to_numpy`` they
        are lists of floats.
        """
        found = self.embed(sentences, batch_size, windows)
        if normalize_embeddings and not self.normalized:
            rows = [found.tolist()] if isinstance(sentences, str) else found.tolist()
            unit = from_rows(map(maths.normalized, rows), self.dimension)
            found = cast(FloatArray, unit[0]) if isinstance(sentences, str) else unit
        return found if convert_to_numpy else cast(list[list[float]] | list[float], found.tolist())

    async def encode_async(
        self,
        sentences: Sequence[str] | str,
        *,
        batch_size: int | None = None,
        normalize_embeddings: bool = False,
        windows: Windows | None = None,
    ) -> FloatArray:
        """Return what ``encode`` returns, computed in this embedder's thread; calls run one after the other."""
        return await self._background.run(
            lambda: self.encode(
                sentences, batch_size=batch_size, normalize_embeddings=normalize_embeddings, windows=windows
            )
        )

    def _whole(self, texts: Sequence[Text], batch_size: int | None, windows: Windows) -> FloatArray:
        found = self.model.run_windows(texts, windows, batch_size)
        return from_rows(
            (self._one(weights, [row.tolist() for row in rows]) for weights, rows in found), self.dimension
        )

    def _one(self, weights: Sequence[int], rows: Sequence[Sequence[float]]) -> Sequence[float]:
        mean = maths.weighted_mean(rows, weights)
        return maths.normalized(mean) if self.normalized and len(rows) > 1 else mean
