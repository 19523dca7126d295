from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.runtime.tiny import LABELS, TOKENIZER_INFO, WORDS, text_model, tokenizer_json
from toolkit.runtime import Classifier, Embedder, Windows
from toolkit.runtime.errors import TextError, UsageError
from toolkit.runtime.manifest import TokenizerInfo
from toolkit.runtime.tokenization import TextTokenizer
from toolkit.runtime.windows import owners, pieces, places

sizes = st.integers(1, 40).flatmap(lambda room: st.tuples(st.just(room), st.integers(0, room - 1)))
INFO = replace(TOKENIZER_INFO, max_length=8)
LONG = "the cat sat on the mat a dog ran on the mat the dog sat on a cat"
MIXED = ["a cat", LONG, "", "the dog ran", LONG + " " + LONG, "mat"]


@given(st.integers(0, 300), sizes)
def test_windows_cover_every_token_and_share_what_they_say(count, size):
    room, overlap = size
    held = places(count, room, overlap)
    assert held[0][0] == 0
    assert held[-1][1] == count
    assert all(0 <= start <= end <= start + room for start, end in held)
    assert all(end - start == room for start, end in held[:-1])
    for (_, end), (start, after) in pairwise(held):
        assert end - start == overlap
        assert after > end  # none of a window's tokens would all be old
    assert (len(held) == 1) == (count <= room)


@given(st.integers(0, 300), sizes)
def test_every_token_is_answered_for_once_by_a_window_that_holds_it(count, size):
    room, overlap = size
    held = places(count, room, overlap)
    owned = owners(held, overlap)
    assert [token for first, end in owned for token in range(first, end)] == list(range(count))
    for (start, stop), (first, end) in zip(held, owned, strict=True):
        assert start <= first <= end <= stop
        assert first == end == 0 or first < end
        if first:
            assert first - start == overlap // 2  # as much before it as its share


@given(st.text(alphabet="ab ", max_size=200), st.sampled_from([True, False]), st.integers(5, 12), st.data())
@settings(max_examples=60)
def test_windows_are_those_of_the_tokenizers_library(text, special, max_length, data):
    ours = TextTokenizer(tokenizer_json(special), TokenizerInfo("t", max_length, 0))
    overlap = data.draw(st.integers(0, ours.room - 1))
    theirs = Tokenizer.from_str(tokenizer_json(special))
    theirs.no_padding()
    theirs.enable_truncation(max_length, stride=overlap)
    found = theirs.encode(text)
    ((whole, around),) = ours.encode_whole([text], places=True)
    windows = pieces(whole, around, ours.room, overlap).windows
    assert [(w.ids, w.type_ids, w.spans, w.words) for w in windows] == [
        (w.ids, w.type_ids, w.offsets, w.word_ids) for w in (found, *found.overflowing)
    ]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_a_text_that_fits_has_the_same_bits_as_without_windows(batch_size):
    model = text_model(tokenizer_info=INFO)
    fits = [i for i, text in enumerate(MIXED) if len(text.split()) <= 6]
    embedder, labels = Embedder(model, normalized=True), Classifier(model, LABELS["labels"])
    for run in (embedder.embed, labels.probabilities):
        cut, whole = run(MIXED, batch_size), run(MIXED, batch_size, Windows())
        assert [cut[i].tobytes() for i in fits] == [whole[i].tobytes() for i in fits]
        assert not np.allclose(cut[1], whole[1])
        assert whole.tobytes() == run(MIXED, batch_size, Windows()).tobytes()


def windows_of(text: str, overlap: int) -> list[str]:
    words = text.split()
    return [" ".join(words[a:b]) for a, b in places(len(words), 6, overlap)]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("overlap", [0, 2, 5])
@pytest.mark.parametrize("multi_label", [False, True])
def test_probabilities_are_the_weighted_mean_or_the_largest_of_the_windows(overlap, multi_label):
    classifier = Classifier(text_model(tokenizer_info=INFO), LABELS["labels"], multi_label)
    parts = windows_of(LONG, overlap)
    each = classifier.probabilities(parts)
    mean = np.average(each, axis=0, weights=[len(part.split()) for part in parts])
    np.testing.assert_allclose(classifier.probabilities([LONG], windows=Windows(overlap))[0], mean, atol=1e-6)
    largest = classifier.probabilities([LONG], windows=Windows(overlap, "max"))[0]
    np.testing.assert_allclose(largest, each.max(axis=0), atol=1e-6)


@pytest.mark.usefixtures("engine")
def test_embeddings_are_the_weighted_mean_at_length_1_where_the_model_has_it():
    model = text_model(tokenizer_info=INFO)
    parts = windows_of(LONG, 1)
    mean = np.average(Embedder(model).embed(parts), axis=0, weights=[len(part.split()) for part in parts])
    np.testing.assert_allclose(Embedder(model).embed(LONG, windows=Windows(1)), mean, atol=1e-6)
    unit = Embedder(model, normalized=True).embed(LONG, windows=Windows(1))
    np.testing.assert_allclose(unit, mean / np.linalg.norm(mean), atol=1e-6)


def test_tokens_are_counted_with_what_windows_share():
    model = text_model(tokenizer_info=INFO)
    assert model.count_tokens(["a cat", LONG]) == [4, 8]
    shared = sum(len(part.split()) + 2 for part in windows_of(LONG, 2))
    assert model.count_tokens(["a cat", LONG, ""], Windows(2)) == [4, shared, 2]


def test_many_texts_keep_their_order(monkeypatch):
    model = text_model(tokenizer_info=INFO)
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(WORDS[4:], size=rng.integers(0, 30))) for _ in range(50)]
    together = Embedder(model).embed(texts, windows=Windows())
    alone = np.stack([Embedder(model).embed(text, windows=Windows()) for text in texts])
    monkeypatch.setattr("toolkit.runtime.model._CHUNK", 7)
    np.testing.assert_allclose(Embedder(model).embed(texts, windows=Windows()), alone, atol=1e-6)
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_what_cannot_be_windows_is_told():
    model = text_model(tokenizer_info=INFO)
    with pytest.raises(UsageError, match="overlap of windows is too small\n  got: -1"):
        Windows(-1)
    with pytest.raises(UsageError, match="cannot be combined so\n  got: sum\n  expected: mean or max"):
        Windows(combine="sum")
    with pytest.raises(UsageError, match="overlap of windows is too large\n  got: 6\n  expected: at most 5"):
        Embedder(model).embed(["a"], windows=Windows(6))
    with pytest.raises(TextError, match="text 1 is a pair"):
        Embedder(model).embed(["a", ("b", "c")], windows=Windows())
