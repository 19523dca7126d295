from dataclasses import replace

import numpy as np
import pytest

from tests.gate.test_judge import EMBEDDER, judge, verdicts
from tests.models import tiny_bert
from tests.runtime.tasks import loaded
from toolkit import gate
from toolkit.errors import DataError
from toolkit.gate.token_classification import by_word, entity_counts, require_tags
from toolkit.limits import Bounds, Limit
from toolkit.runtime.tokenization import Encoded
from toolkit.samples import Samples

TAGGER = replace(EMBEDDER, task="token-classification", output="logits", labels=("O", "B-x", "I-x"))
SET = Samples("words", "1", "none", "here", ("a b c", "d", "e f"), tags=(("O", "B-x", "I-x"), ("B-x",), ("O", "O")))
LIMITS = {"entity_f1": Limit(max_drop=0.01), "label_flips": Bounds(max=0.1)}


def logits(*rows):
    """One-hot logits of the labels' numbers, padded with zeros as the gate's are."""
    found = np.zeros((len(rows), max(map(len, rows)), 3), np.float32)
    for number, row in enumerate(rows):
        for place, label in enumerate(row):
            found[number, place, label] = 5
    return found


RIGHT = logits([0, 1, 2], [1], [0, 0])


def test_right_tags_pass():
    found = verdicts(judge(TAGGER, SET, (RIGHT, RIGHT), LIMITS))
    assert list(found) == ["non_finite_rows", "entity_f1", "label_flips", "sqnr_db", "size_ratio"]
    assert (found["entity_f1"].fp32, found["entity_f1"].int8, found["label_flips"].int8) == (1, 1, 0)
    assert {found["entity_f1"].outcome, found["label_flips"].outcome} == {"pass"}


def test_flips_count_words_and_f1_whole_entities():
    report = judge(TAGGER, SET, (RIGHT, logits([0, 1, 0], [1], [0, 0])), LIMITS)
    found = verdicts(report)
    assert found["label_flips"].int8 == pytest.approx(1 / 6, abs=1e-6)  # padding is no word
    assert found["entity_f1"].int8 == 0.5  # one of two, and one that is not there
    assert not report.passed
    assert (report.worst[0].text, report.worst[0].fp32, report.worst[0].int8) == ("a b c", "x 1-2", "x 1-1")


def test_tags_may_be_numbers_and_sets_without_them_are_judged_by_flips():
    numbered = replace(SET, tags=((0, 1, 2), (1,), (0, 0)))
    assert verdicts(judge(TAGGER, numbered, (RIGHT, RIGHT), LIMITS))["entity_f1"].int8 == 1
    found = verdicts(judge(TAGGER, replace(SET, tags=None), (RIGHT, RIGHT), LIMITS))
    assert found["entity_f1"].outcome == "not measured"
    assert found["label_flips"].outcome == "pass"


def test_strange_tags_are_told():
    strange = replace(SET, tags=(("O", "B-y", "I-x"), ("B-x",), ("O", "O")))
    with pytest.raises(DataError, match=r"tags are not the model's[\s\S]*got: B-y[\s\S]*expected: O, B-x, I-x"):
        require_tags(TAGGER, strange)
    require_tags(TAGGER, SET)
    require_tags(TAGGER, replace(SET, tags=None))


def test_non_finite_numbers_fail_first():
    broken = RIGHT.copy()
    broken[1, 0, 0] = np.nan
    (only,) = judge(TAGGER, SET, (RIGHT, broken), LIMITS).verdicts
    assert (only.metric, only.int8, only.outcome) == ("non_finite_rows", 1, "fail")


def test_hits_count_twice_and_need_label_start_and_end():
    tags = [["O"], ["B-x"], ["B-x", "I-x"], ["B-x", "B-y"]]
    gold = [["O"], ["O"], ["B-x", "O"], ["B-x", "B-x"]]
    assert entity_counts(tags, gold).tolist() == [[0, 0], [0, 1], [0, 2], [2, 4]]


def test_nothing_found_where_nothing_is_is_right():
    nothing = logits([0, 0, 0], [0], [0, 0])
    found = verdicts(judge(TAGGER, replace(SET, tags=(("O",) * 3, ("O",), ("O",) * 2)), (nothing, nothing), LIMITS))
    assert found["entity_f1"].int8 == 1


def test_a_word_has_the_logits_of_its_first_token():
    # "undo, it": [CLS] un ##do , it [SEP]; max_length has cut off "now"
    text = "undo,  it now"
    encoded = Encoded([0] * 6, [0] * 6, [(0, 0), (0, 2), (2, 4), (4, 5), (6, 9), (0, 0)], [None, 0, 0, 1, 2, None])
    rows = np.arange(18, dtype=np.float32).reshape(6, 3)
    found = by_word([text, "x"], [encoded, encoded], [rows, rows])
    assert found.shape == (2, 3, 3)
    np.testing.assert_array_equal(found[0], [rows[1], rows[4], np.zeros(3)])
    np.testing.assert_array_equal(found[1], [rows[1], np.zeros(3), np.zeros(3)])


def test_texts_of_any_length_are_read(tmp_path):
    model = loaded(tiny_bert(tmp_path / "m", head="tokens"))
    texts = ["the cat"] * 300 + ["the red dog ran"]
    found = gate.run(model, gate.Reading(texts, by_word=True), "evaluate")
    assert found.shape == (301, 4, 3)
    assert not found[0, 2:].any()
    assert found[0, :2].any(axis=1).all()
    np.testing.assert_allclose(found[0], found[299], atol=1e-6)
