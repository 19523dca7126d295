"""A classifier under the name that apps for emotions and sentiment give it."""

import os

from toolkit.runtime.bundle import load
from toolkit.runtime.classifier import Classifier
from toolkit.runtime.errors import UsageError
from toolkit.runtime.host import Engine


class EmotionEngine(Classifier):
    """A Classifier that is made from a bundle's folder; UsageError if the bundle is for another task than labels."""

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        threads: int | None = None,
        engine: Engine | None = None,
        library: str | os.PathLike[str] | None = None,
    ) -> None:
        """Load as ``load`` does."""
        loaded = load(bundle, threads, engine, library)
        if not isinstance(loaded, Classifier):
            got, hint = type(loaded).__name__, "load(bundle) gives what the bundle is for"
            raise UsageError("the bundle gives no labels to texts", where=bundle, got=got, hint=hint)
        super().__init__(loaded.model, loaded.labels, loaded.multi_label)
