"""``--on``: the int8 model judged by what it gives in a place, on its target's own kernels."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.errors import EdgequantError
from toolkit.gate import token_classification
from toolkit.gate.report import RunPlace
from toolkit.gate.running import CHUNK
from toolkit.gate.subject import Elsewhere, Subject
from toolkit.isa.check import prove_place
from toolkit.isa.place import TIMEOUT, Place, outputs
from toolkit.metrics import Float
from toolkit.progress import Track, silent
from toolkit.runtime.raw import RawJob
from toolkit.runtime.tokenization import Text, TextTokenizer


@dataclass(frozen=True)
class Proven:
    """A place whose kernels are proven to be those that were asked for, and the proof for the report."""

    place: Place
    ran: RunPlace

    def elsewhere(self, subject: Subject, threads: int | None, track: Track = silent) -> Elsewhere:
        """Return the place as what judges a subject."""
        return Elsewhere(self.ran, lambda texts: outputs_there(self.place, subject, texts, threads or 1, track=track))


def proven(place: Place, *, timeout: float = TIMEOUT) -> Proven:
    """Run the probes in a place; EdgequantError where its kernels are others."""
    _, checks = prove_place(place, timeout)
    wrong = "; ".join(check.detail for check in checks if not check.ok)
    if wrong:
        raise EdgequantError("the kernels to judge on are not those that were asked for", where=place, got=wrong)
    return Proven(place, RunPlace(place.isa, place.how, "; ".join(check.detail for check in checks)))


def outputs_there(
    place: Place, subject: Subject, texts: Sequence[Text], threads: int, *, track: Track = silent
) -> Float:
    """Return the raw outputs of a subject in a place, as ``running.run`` returns them here."""
    with tempfile.TemporaryDirectory(prefix="edgequant-subject-") as folder:
        model, tokenizer = Path(folder) / "model.onnx", Path(folder) / "tokenizer.json"
        model.write_bytes(subject.model)
        tokenizer.write_text(subject.tokenizer_json, encoding="utf-8")
        by_token = subject.judged.task == "token-classification"
        chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
        parts = []
        for chunk in track(chunks, f"evaluate int8 on {place}", len(chunks)):
            read = tuple((text,) if isinstance(text, str) else text for text in chunk)
            job = RawJob(
                str(model), subject.info, subject.session, threads, str(tokenizer), subject.tokens, read,
                by_token=by_token,
            )  # fmt: skip
            parts.append(outputs(place, job))
    found = np.concatenate(parts)
    return _by_word(subject, texts, found) if by_token else found


def _by_word(subject: Subject, texts: Sequence[Text], tokens: Float) -> Float:
    """Return the outputs of all tokens [tokens, labels] as those of words [texts, words, labels]."""
    encoded = TextTokenizer(subject.tokenizer_json, subject.tokens).encode(texts, places=True)
    ends = np.cumsum([len(text.ids) for text in encoded])
    return token_classification.by_word(texts, encoded, np.split(tokens, ends[:-1]))
