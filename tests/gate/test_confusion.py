"""What the gate says of models that are wrong rather than inaccurate."""

import numpy as np
import pytest

from tests.gate.test_judge import LOGITS, VECTORS, embeddings, logits, verdicts
from toolkit import gate
from toolkit.limits import Bounds


def test_one_output_for_every_text():
    first = verdicts(embeddings(np.ones_like(VECTORS)))["distinct_outputs"]
    assert (first.fp32, first.int8, first.outcome) == (3, 1, "fail")
    assert "distinct_outputs" not in verdicts(embeddings(VECTORS))
    assert "distinct_outputs" not in verdicts(embeddings(np.ones_like(VECTORS), np.ones_like(VECTORS)))


def test_the_sentence_is_of_what_is_worst():
    report = embeddings(np.ones_like(VECTORS), cosine_mean=Bounds(min=0.99))
    error = gate.refusal(report, "here", ", so nothing was written", "look")
    assert str(error).startswith("the int8 model gives one output for every text, so nothing was written\n")
    assert error.exit_code == 3


@pytest.mark.parametrize(
    ("columns", "note"),
    [
        ([1, 2, 0], "the labels are permuted: int8 says sad for calm, calm for glad, glad for sad"),
        ([1, 0, 2], "the labels are permuted: int8 says glad for calm, calm for glad"),
        ([0, 1, 2], ""),
    ],
)
def test_permuted_labels_are_recognized(columns, note):
    assert verdicts(logits(LOGITS[:, columns]))["label_flips"].note == note


def test_one_label_for_every_text():
    int8 = LOGITS + np.array([9, 0, 0], np.float32)
    assert verdicts(logits(int8))["label_flips"].note == "int8 calls every text calm"


def test_errors_here_and_there_are_no_permutation():
    int8 = LOGITS.copy()
    int8[0] = [0, 1, 0]
    assert verdicts(logits(int8))["label_flips"].note == ""
    rows = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    assert "permuted" not in verdicts(logits(rows))["label_flips"].note
