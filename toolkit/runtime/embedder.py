"""Sentence embeddings."""

from collections.abc import Sequence

from toolkit.runtime.arrays import FloatArray
from toolkit.runtime.model import TextModel
from toolkit.runtime.tokenization import Text


class Embedder:
    """Embeds texts; pooling and normalization are part of the model's graph."""

    def __init__(self, model: TextModel) -> None:
        self.model = model

    @property
    def dimension(self) -> int:
        """The length of an embedding."""
        return self.model.info.dimension

    def embed(self, texts: Sequence[Text] | str, batch_size: int | None = None) -> FloatArray:
        """Return float32 ``[len(texts), dimension]`` in the order given; ``[dimension]`` for one string."""
        if isinstance(texts, str):
            row: FloatArray = self.model.run([texts], batch_size)[0]
            return row
        return self.model.run(texts, batch_size)
