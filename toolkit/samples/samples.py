"""What a set of texts is once it is loaded, its digest, and the check that two sets share no text."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from toolkit.errors import DataError

Labels = tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class Samples:
    """The rows of one set, column by column; every column that is there has one entry a row."""

    name: str
    digest: str  # sha256 over the columns: the same rows have the same digest, wherever they lay
    licence: str
    source: str
    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None = None  # the second text of each row
    scores: tuple[float, ...] | None = None  # how similar the pair is, larger is more
    labels: Labels | None = None
    tags: tuple[Labels, ...] | None = None  # of the words of each text, which white space separates

    def taking(self, rows: Sequence[int]) -> "Samples":
        """Return some of the rows, in the order given, under the old digest."""
        return replace(
            self,
            texts=tuple(self.texts[row] for row in rows),
            pairs=tuple(self.pairs[row] for row in rows) if self.pairs else None,
            scores=tuple(self.scores[row] for row in rows) if self.scores else None,
            labels=tuple(self.labels[row] for row in rows) if self.labels else None,  # type: ignore[arg-type]
            tags=tuple(self.tags[row] for row in rows) if self.tags else None,
        )

    def sealed(self) -> "Samples":
        """Return the same with the digest of its content."""
        columns = [self.texts, self.pairs, self.scores, self.labels, *([self.tags] if self.tags else [])]
        content = json.dumps(columns, separators=(",", ":"))
        digest = hashlib.sha256(content.encode("ascii")).hexdigest()
        return replace(self, digest=digest)


def check_disjoint(calibration: Samples, evaluation: Samples) -> None:
    """Raise DataError when a text of one set, in either column, stands in the other too.

    Differences in white space don't count. Accuracy on texts that the ranges were taken from says too much.
    """
    known = {_plain(text) for text in (*calibration.texts, *(calibration.pairs or ()))}
    shared = [text for text in _unique(evaluation) if text in known]
    if shared:
        raise DataError(
            "the calibration and the evaluation set overlap",
            where=f"{calibration.name} and {evaluation.name}",
            got=f"{len(shared)} texts in both: {', '.join(repr(text[:60]) for text in shared[:3])}"
            + (", ..." if len(shared) > 3 else ""),
            expected="no text in both",
            hint="take these rows out of the calibration set, or give another set",
        )


def _unique(samples: Samples) -> dict[str, None]:
    return dict.fromkeys(_plain(text) for text in (*samples.texts, *(samples.pairs or ())))


def _plain(text: str) -> str:
    return " ".join(text.split())
