import numpy as np
import pytest

from tests.models import tiny_bert
from tests.runtime.tasks import loaded
from tests.runtime.tiny import text_model
from toolkit.runtime import TokenClassifier, Windows
from toolkit.runtime.errors import BundleError, TextError
from toolkit.runtime.tokenization import Encoded

LABELS = ("O", "B-x", "I-x")
TEXTS = ["the cat sat on the mat", "dog", "  a very big   red dogs ran under the blue tree, and was good  ", ""]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return TokenClassifier(loaded(tiny_bert(tmp_path_factory.mktemp("t") / "m", head="tokens")), LABELS)


def test_entities_stand_where_they_say(classifier):
    found = classifier.entities(TEXTS)
    assert sum(map(len, found)) > 2
    for text, entities in zip(TEXTS, found, strict=True):
        for entity in entities:
            assert entity.text == text[entity.start : entity.end]
            assert entity.text == entity.text.strip() != ""
            assert entity.label == "x"
            assert 1 / 3 <= entity.score <= 1


def test_a_text_is_judged_by_itself_whatever_its_batch(classifier):
    together = classifier.entities(TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = classifier.entities([text])
        assert [(e.label, e.start, e.end) for e in alone] == [(e.label, e.start, e.end) for e in found]


def test_rows_have_the_tokens_of_their_text(classifier):
    encoded, rows = classifier.model.run_tokens(TEXTS)
    assert [row.shape for row in rows] == [(len(text.ids), 3) for text in encoded]
    flat = classifier.model.flat(TEXTS, by_token=True)
    np.testing.assert_array_equal(np.concatenate(flat), np.concatenate([row.reshape(-1) for row in rows]))


def test_a_word_has_its_first_tokens_tag_and_spaces_are_left_out(classifier):
    # [CLS] "un" "##do" " it" (byte-level tokens hold their space) [SEP]
    encoded = Encoded([0] * 5, [0] * 5, [(0, 0), (0, 2), (2, 4), (4, 7), (0, 0)], [None, 0, 0, 1, None])
    logits = [[0.0, 9, 9], [0, 5, 0], [5, 0, 0], [0, 0, 5], [0, 9, 9]]
    words = classifier._words("undo it", encoded, logits)
    assert [(word.start, word.end, word.tag) for word in words] == [(0, 4, "B-x"), (5, 7, "I-x")]
    assert words[0].score == pytest.approx(np.exp(5) / (np.exp(5) + 2))


def test_bad_calls_are_told(classifier):
    with pytest.raises(TextError, match="text 1 is a pair"):
        classifier.entities(["a", ("b", "c")])
    with pytest.raises(TextError, match="wrap one text"):
        classifier.entities("text")
    with pytest.raises(BundleError, match="labels do not fit"):
        TokenClassifier(classifier.model, ("O",))
    with pytest.raises(BundleError, match="another shape than the manifest says"):
        text_model().run_tokens(["a cat"])
    with pytest.raises(BundleError, match="another shape than the manifest says"):
        classifier.model.run(["a cat"])


PHRASE = "the big red dog ran under the blue tree and was good "


@pytest.mark.parametrize("overlap", [None, 0, 1, 7])
def test_windows_tag_each_word_once_from_the_window_that_answers_for_it(classifier, overlap, monkeypatch):
    text = PHRASE * 30
    encoded, rows = classifier.model.run_tokens([text], windows=Windows(overlap))
    assert rows[0].shape == (len(encoded[0].ids), 3)
    assert len(encoded[0].ids) > classifier.model._tokenizer.info.max_length
    # A model whose tags go by the word alone gives the same entities however the text is cut.
    monkeypatch.setattr(classifier.model._session, "run", by_word)
    (found,) = classifier.entities([text], windows=Windows(overlap))
    (once,) = classifier.entities([PHRASE])
    assert once
    expected = [(e.label, e.start + len(PHRASE) * i, e.end + len(PHRASE) * i) for i in range(30) for e in once]
    assert [(e.label, e.start, e.end) for e in found] == expected
    assert all(e.text == text[e.start : e.end] for e in found)


def by_word(feed, _rank):
    """Two words in a row are one entity, wherever they stand: B-x for one token's number in three, then I-x."""
    ids = np.asarray(feed["input_ids"])
    return np.eye(3, dtype=np.float32)[np.where(ids % 3 == 1, 1, np.where(ids % 3 == 2, 2, 0))]


def test_a_text_that_fits_has_the_same_entities_with_windows(classifier):
    assert classifier.entities(TEXTS, windows=Windows()) == classifier.entities(TEXTS)
    long = PHRASE * 30
    together = classifier.entities([*TEXTS, long], windows=Windows())
    assert together[:-1] == classifier.entities([*TEXTS, long])[:-1]
    assert max(e.end for e in together[-1]) > max(e.end for e in classifier.entities([long])[0])
