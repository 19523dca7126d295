from itertools import pairwise

import pytest

from tests.models import as_encoded
from toolkit.fallback.heldout import LEAST_TEXTS, MOST_TEXTS, MOST_TOKENS, hold_out


@pytest.mark.parametrize("count", [LEAST_TEXTS, 100, 1000])
def test_an_eighth_is_held_out_evenly_and_nothing_is_in_both(count):
    texts = as_encoded([[number] for number in range(count)])
    calibrating, held_out = hold_out(texts)
    assert len(held_out) == min(count // 8, MOST_TEXTS)
    assert sorted(text.ids for text in calibrating + held_out) == [text.ids for text in texts]
    gaps = {b.ids[0] - a.ids[0] for a, b in pairwise(held_out)}
    assert max(gaps) - min(gaps) <= 1


def test_long_texts_are_fewer():
    _, held_out = hold_out(as_encoded([[1] * 512] * 400))
    assert sum(len(text.ids) for text in held_out) <= MOST_TOKENS


def test_a_set_too_small_to_be_split_serves_for_both():
    texts = as_encoded([[1], [2]])
    assert hold_out(texts) == (texts, texts)
