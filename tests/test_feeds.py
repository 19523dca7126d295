import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models import as_encoded
from toolkit.feeds import equal_length_feeds, unpadded_feed
from toolkit.runtime.tokenization import Encoded

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SENTENCES = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=9), max_size=40)


@given(SENTENCES, st.integers(1, 30))
def test_every_sentence_is_fed_once_whole_and_without_padding(sentences, max_tokens):
    feeds = equal_length_feeds(as_encoded(sentences), INPUTS, max_tokens)
    fed = [row.tolist() for feed in feeds for row in feed["input_ids"]]
    assert sorted(fed) == sorted(sentences)
    for feed in feeds:
        assert list(feed) == list(INPUTS)
        assert {array.shape for array in feed.values()} == {feed["input_ids"].shape}
        assert {array.dtype for array in feed.values()} == {np.dtype(np.int64)}
        assert (feed["attention_mask"] == 1).all()
        assert (feed["token_type_ids"] == 0).all()
        assert feed["input_ids"].size <= max_tokens or len(feed["input_ids"]) == 1


def test_batches_are_as_large_as_allowed():
    feeds = equal_length_feeds(as_encoded([[1, 2]] * 7), INPUTS, max_tokens=6)
    assert [len(feed["input_ids"]) for feed in feeds] == [3, 3, 1]


@pytest.mark.parametrize("inputs", [("input_ids",), ("attention_mask", "input_ids")])
def test_only_what_the_graph_takes(inputs):
    assert tuple(unpadded_feed(np.ones((2, 3), np.int64), inputs)) == inputs
    assert [tuple(feed) for feed in equal_length_feeds(as_encoded([[1], [2, 3]]), inputs)] == [inputs, inputs]


def test_pairs_keep_the_types_of_their_tokens():
    (feed,) = equal_length_feeds([Encoded([2, 7, 3, 8, 3], [0, 0, 0, 1, 1])], INPUTS)
    assert feed["token_type_ids"].tolist() == [[0, 0, 0, 1, 1]]


def test_nothing_gives_nothing():
    assert equal_length_feeds([], INPUTS) == []
