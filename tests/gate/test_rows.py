"""Slices by length, worst rows by text, and the histogram of cosines."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.gate.test_judge import CLASSIFIER, EMBEDDER, LOGITS, PAIRS, POINT, TEXTS, VECTORS
from toolkit import gate
from toolkit.gate import Evidence, rows
from toolkit.runtime.manifest import FileInfo

FILES = (FileInfo("f", 200), FileInfo("i", 50))


def judged(source, samples, outputs, lengths=None):
    lengths = None if lengths is None else np.array(lengths)
    return gate.judge(source, Evidence(samples, outputs, FILES, lengths), {}, POINT)


def test_a_row_is_as_long_as_its_longer_text():
    int8 = VECTORS.copy()
    int8[1] = [0.8, 0.6]  # c: rows of lengths a 4, c 17, b 16, d 200
    report = judged(EMBEDDER, PAIRS, (VECTORS, int8), [4, 17, 16, 200])
    assert [(found.name, found.rows) for found in report.slices] == [("≤16", 1), ("longer", 2)]
    short, long = report.slices
    assert short.metrics["cosine_min"] == 1  # row a, b alone
    assert long.metrics["cosine_min"] == 0.96
    assert long.fp32["spearman"] == 1
    assert long.fp32["cosine_min"] is None


@pytest.mark.parametrize(
    ("length", "name"),
    [(0, "≤16"), (16, "≤16"), (17, "≤64"), (64, "≤64"), (65, "≤128"), (128, "≤128"), (129, "longer")],
)
def test_edges_of_slices(length, name):
    (found,) = judged(CLASSIFIER, TEXTS, (LOGITS, LOGITS), [length] * 4).slices
    assert (found.name, found.rows) == (name, 4)


def test_slices_of_a_classifier_count_their_own_rows():
    int8 = LOGITS[:, [1, 2, 0]]
    report = judged(CLASSIFIER, TEXTS, (LOGITS, np.vstack([LOGITS[:2], int8[2:]])), [3, 3, 100, 100])
    assert [(found.name, found.metrics["accuracy"], found.metrics["label_flips"]) for found in report.slices] == [
        ("≤16", 1, 0),
        ("≤128", 0, 1),
    ]


def test_slices_need_lengths():
    assert judged(CLASSIFIER, TEXTS, (LOGITS, LOGITS)).slices == ()


def test_taking_rows_keeps_each_text_once_in_its_place():
    answers = rows.Answers(EMBEDDER, PAIRS, (VECTORS, 2 * VECTORS)).taking(np.array([1, 2]))
    assert gate.texts_of(EMBEDDER, answers.samples) == ["c", "a", "d"]
    np.testing.assert_array_equal(answers.outputs[0], VECTORS[[1, 0, 3]])
    np.testing.assert_array_equal(answers.outputs[1], 2 * VECTORS[[1, 0, 3]])


def test_the_worst_pairs_are_those_whose_similarity_moved():
    int8 = VECTORS.copy()
    int8[2] = [0.6, 0.8]  # b: the similarity of a and b goes from 0 to 0.6
    first, *others = judged(EMBEDDER, PAIRS, (VECTORS, int8)).worst
    assert (first.text, first.text2, first.fp32, first.int8) == ("a", "b", "similarity 0.0000", "similarity 0.6000")
    assert first.distance == 0.6
    assert [(found.text, found.text2, found.distance) for found in others] == [("c", "d", 0), ("a", "d", 0)]


def test_the_worst_single_texts_are_those_whose_vector_moved():
    single = replace(PAIRS, pairs=None, scores=None, texts=("a", "b", "a"))
    int8 = np.array([[1, 0], [0.8, 0.6]], np.float32)
    found = judged(EMBEDDER, single, (np.eye(2, dtype=np.float32), int8)).worst
    assert [(one.text, one.text2, one.distance) for one in found] == [("b", None, 0.4), ("a", None, 0), ("a", None, 0)]
    assert (found[0].fp32, found[0].int8) == ("cosine 1.0000", "cosine 0.6000")


def test_labels_that_flip_come_before_probabilities_that_move():
    fp32 = np.array([[9, 0, 0], [1, 1.01, 0], [0, 0, 5], [0, 5, 0]], np.float32)
    int8 = np.array([[1, 0, 0], [1.01, 1, 0], [0, 0, 5], [0, 5, 0]], np.float32)
    found = judged(CLASSIFIER, TEXTS, (fp32, int8)).worst
    assert [one.text for one in found] == ["b", "a", "c", "d"]
    assert (found[0].fp32[:5], found[0].int8[:5]) == ("glad ", "calm ")
    assert found[0].distance < found[1].distance


def test_a_multi_label_model_says_all_that_it_says():
    several = replace(CLASSIFIER, multi_label=True)
    fp32 = np.array([[1, 1, -1]] * 4, np.float32)
    int8 = np.array([[1, 1, -1]] * 3 + [[-1, -1, -1]], np.float32)
    first = judged(several, TEXTS, (fp32, int8)).worst[0]
    assert (first.text, first.fp32, first.int8) == ("d", "calm 0.731, glad 0.731", "none")


def test_at_most_ten_rows_are_shown():
    many = replace(TEXTS, texts=tuple(map(str, range(50))), labels=None)
    outputs = np.tile(LOGITS, (13, 1))[:50]
    assert len(judged(CLASSIFIER, many, (outputs, outputs)).worst) == rows.WORST


def test_every_cosine_is_in_the_histogram():
    alike = np.array([0.5, 0.9, 0.99, 1, 1 + 1e-15])
    found = rows.histogram(alike)
    assert sum(found.counts) == 5
    assert found.counts[-1] == 3
    assert (found.edges[0], found.edges[-1], len(found.edges)) == (0.5, 1, len(found.counts) + 1)
    assert rows.histogram(np.ones(3)).edges[0] == 0.999
    assert judged(CLASSIFIER, TEXTS, (LOGITS, LOGITS)).histogram is None


def test_what_is_not_finite_has_nothing_else_in_its_report():
    report = judged(EMBEDDER, PAIRS, (VECTORS, VECTORS * np.nan), [1, 2, 3, 4])
    assert (report.slices, report.worst, report.histogram) == ((), (), None)


def test_no_text_of_the_evaluation_set_goes_into_a_manifest():
    report = judged(EMBEDDER, replace(PAIRS, texts=("secret", "c", "secret")), (VECTORS, VECTORS), [1, 2, 3, 4])
    assert "secret" in json.dumps(report.as_dict())
    assert "secret" not in json.dumps(report.summary())
    assert report.summary()["schema"] == report.as_dict()["schema"] == gate.SCHEMA
