import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.runtime.tiny import tokenizer_json
from toolkit.runtime.errors import BundleError, TextError
from toolkit.runtime.manifest import INPUTS, TokenizerInfo
from toolkit.runtime.tokenization import RUN_COST, TextTokenizer, plan_batches


def tokenizer(max_length: int = 16, special: bool = True) -> TextTokenizer:
    return TextTokenizer(tokenizer_json(special), TokenizerInfo("tokenizer.json", max_length, 9))


def test_truncation_and_padding_of_the_file_are_not_used():
    found = tokenizer().encode(["the cat sat on the mat", "a"])
    assert [row.ids for row in found] == [[2, 11, 5, 7, 9, 11, 10, 3], [2, 4, 3]]


def test_texts_are_cut_at_max_length_with_special_tokens():
    assert tokenizer(4).encode(["the cat sat on the mat"])[0].ids == [2, 11, 5, 3]


def test_pairs_have_token_types():
    row = tokenizer().encode([("a cat", "the dog")])[0]
    assert (row.ids, row.type_ids) == ([2, 4, 5, 3, 11, 6, 3], [0, 0, 0, 0, 1, 1, 1])


def test_arrays_are_padded_on_the_right_and_only_what_is_asked_for():
    encoder = tokenizer()
    arrays = encoder.arrays(encoder.encode(["a", ("a", "cat")]), INPUTS)
    assert arrays["input_ids"].tolist() == [[2, 4, 3, 9, 9], [2, 4, 3, 5, 3]]
    assert arrays["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert arrays["token_type_ids"].tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]]
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int64)}
    assert list(encoder.arrays(encoder.encode(["a"]), ("input_ids",))) == ["input_ids"]


def test_text_without_any_token_becomes_one_of_padding():
    encoder = tokenizer(special=False)
    arrays = encoder.arrays(encoder.encode([""]), INPUTS)
    assert arrays["input_ids"].tolist() == [[9]]
    assert arrays["attention_mask"].tolist() == [[0]]


@pytest.mark.parametrize("bad", [None, 3, b"a", ("a", "b", "c"), ("a", None), ["a", "b"]])
def test_what_is_no_text_is_named(bad):
    with pytest.raises(TextError, match=r"text 1 is not a string"):
        tokenizer().encode(["a", bad])


def test_half_a_surrogate_pair_is_named():
    with pytest.raises(TextError, match=r"text 1 is not valid Unicode\n  got: U\+D83D at position 2"):
        tokenizer().encode(["a", "ab\ud83d"])


def test_tokenizer_that_cannot_be_read():
    with pytest.raises(BundleError, match=r"tokenizer cannot be read\n  where: t.json"):
        TextTokenizer("{}", TokenizerInfo("t.json", 16, 0))


def test_max_length_without_room_is_refused():
    with pytest.raises(BundleError, match=r"no room for text\n.*\n.*got: 3\n.*more than 3"):
        tokenizer(3)


lengths = st.lists(st.integers(0, 600), max_size=120)


@given(lengths, st.integers(1, 5000), st.integers(1, 64))
def test_every_text_is_in_one_batch_within_the_bounds(lengths, tokens, rows):
    batches = plan_batches(lengths, tokens, rows)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= tokens


def cost(batches: list[list[int]], lengths: list[int]) -> int:
    return sum(len(batch) * max(lengths[i] for i in batch) + RUN_COST for batch in batches)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=10))
def test_no_split_of_the_sorted_texts_costs_less(lengths):
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    best = cost(plan_batches(lengths, 10_000), lengths)
    for cuts in range(2 ** (len(order) - 1)):
        edges = [0, *(i for i in range(1, len(order)) if cuts >> (i - 1) & 1), len(order)]
        assert best <= cost([order[a:b] for a, b in itertools.pairwise(edges)], lengths)


def test_real_lengths_are_padded_little():
    lengths = np.random.default_rng(0).gamma(3, 8, size=1000).astype(int) + 3
    batches = plan_batches(lengths.tolist(), 1024)
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    assert padded <= 1.02 * lengths.sum()
    assert len(batches) < 120


def test_equal_lengths_fill_batches_in_their_order():
    assert plan_batches([5] * 5, 1000, 2) in (
        [[0, 1], [2, 3], [4]],
        [[0], [1, 2], [3, 4]],
        [[0, 1], [2], [3, 4]],
    )
    assert plan_batches([], 100) == []


@given(st.integers(1, 60), st.integers(1, 60), st.integers(5, 24), st.booleans())
def test_long_pairs_are_cut_as_tokenizers_cuts_them(first, second, max_length, special):
    pair = ("a cat sat on the mat " * 10)[: first * 4], ("dog ran " * 40)[: second * 4]
    found = tokenizer(max_length, special)
    theirs = Tokenizer.from_str(tokenizer_json(special))
    theirs.no_padding()
    theirs.enable_truncation(max_length)
    (expected,) = theirs.encode_batch_fast([pair])
    row = found._cut_pair(*pair)
    assert (row.ids, row.type_ids) == (expected.ids, expected.type_ids)
    (both,) = found.encode([pair])
    assert (both.ids, both.type_ids) == (expected.ids, expected.type_ids)


def test_a_pair_of_two_long_texts_takes_no_memory_for_what_is_cut():
    found = tokenizer(8).encode([("a cat", "the dog"), ("a " * 30_000, "the " * 30_000), "dog"])
    assert [row.ids for row in found] == [[2, 4, 5, 3, 11, 6, 3], [2, 4, 4, 3, 11, 11, 11, 3], [2, 6, 3]]
