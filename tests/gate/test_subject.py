"""Two models compared: their tasks, labels and tokens first, their outputs then."""

from dataclasses import replace

import numpy as np
import pytest

from tests import models
from toolkit import gate
from toolkit.errors import UsageError
from toolkit.gate import Elsewhere, RunPlace, Trial, compare
from toolkit.samples import Samples
from toolkit.sources import open_source
from toolkit.subjects import source_subject

TEXTS = tuple(f"{one} {other} the" for one in models.WORDS for other in models.WORDS[:6])
SAMPLES = Samples("texts", "1", "none", "here", TEXTS)
TRIAL = Trial(SAMPLES, {}, gate.Rules(), 1)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return source_subject(open_source(str(models.tiny_bert(tmp_path_factory.mktemp("models") / "embedder"))))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = models.tiny_bert(tmp_path_factory.mktemp("models") / "classifier", head="classification")
    return source_subject(open_source(str(folder)))


def test_a_model_is_like_itself(embedder):
    report = compare(embedder, embedder, TRIAL)
    found = {verdict.metric: verdict.int8 for verdict in report.verdicts}
    assert (found["cosine_min"], found["size_ratio"]) == (pytest.approx(1), 1)
    assert report.model.fp32 == report.model.int8
    assert (report.rows, [one.name for one in report.slices]) == (len(TEXTS), ["≤16"])


def test_models_for_different_tasks(embedder, classifier):
    with pytest.raises(UsageError, match=r"for different tasks\n.*\n  got: classification\n  expected: embedding"):
        compare(embedder, classifier, TRIAL)


def relabelled(subject, *labels):
    return replace(subject, judged=replace(subject.judged, labels=labels))


def test_models_with_other_labels(classifier):
    first, *others = classifier.judged.labels
    with pytest.raises(UsageError, match=r"other labels\n(.*\n)*  hint: both must name the same labels"):
        compare(classifier, relabelled(classifier, "strange", *others), TRIAL)
    with pytest.raises(UsageError, match="other labels"):
        compare(classifier, relabelled(classifier, first, *([first] * len(others))), TRIAL)


def test_vectors_of_another_size(embedder):
    other = replace(embedder, info=replace(embedder.info, dimension=2 * embedder.info.dimension))
    words = r"outputs of the two models have other sizes\n.*\n  got: 64 numbers a text\n  expected: 32 numbers a text"
    with pytest.raises(UsageError, match=words):
        compare(embedder, other, TRIAL)


def test_labels_in_another_order_are_found_by_name(classifier):
    """A model whose names are permuted calls everything by a wrong name, whatever its numbers."""
    labels = classifier.judged.labels
    permuted = compare(classifier, relabelled(classifier, *labels[1:], labels[0]), TRIAL)
    assert {verdict.metric: verdict.int8 for verdict in permuted.verdicts}["label_flips"] == 1
    outputs = np.asarray(classifier.loaded(1).raw(list(TEXTS)))
    moved = Elsewhere(RunPlace("here", "native", ""), lambda _texts: np.roll(outputs, -1, axis=1))
    both = compare(classifier, relabelled(classifier, *labels[1:], labels[0]), replace(TRIAL, elsewhere=moved))
    assert {verdict.metric: verdict.int8 for verdict in both.verdicts}["label_flips"] == 0


def test_other_tokens_are_told_and_nothing_is_run(embedder):
    words = embedder.tokenizer_json.replace('"the"', '"xyz"')
    report = compare(embedder, replace(embedder, tokenizer_json=words, model=b"never loaded"), TRIAL)
    (only,) = report.verdicts
    assert (only.metric, only.int8, only.outcome) == ("other_tokens", len(TEXTS), "fail")
    assert only.note == f"the two tokenizers give other tokens for {len(TEXTS)} of {len(TEXTS)} texts"
    assert not report.passed


def test_int8_may_run_elsewhere(embedder):
    asked = []

    def outputs(texts):
        asked.extend(texts)
        return np.asarray(embedder.loaded(1).raw(texts))

    place = RunPlace("avx2", "masked", "a probe")
    report = compare(embedder, embedder, replace(TRIAL, elsewhere=Elsewhere(place, outputs)))
    assert (asked, report.place) == (list(TEXTS), place)
    assert report.as_dict()["place"] == {"isa": "avx2", "how": "masked", "proof": "a probe"}


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_the_report(embedder, threads):
    assert compare(embedder, embedder, replace(TRIAL, threads=threads)) == compare(embedder, embedder, TRIAL)
