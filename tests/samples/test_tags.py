import json

import pytest

from toolkit.errors import DataError
from toolkit.samples import load_samples


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,tags\nAda ran,B-per O\nx,O\n"),
        ("a.jsonl", '{"tokens": ["Ada", "ran"], "ner_tags": ["B-per", "O"]}\n{"tokens": ["x"], "ner_tags": ["O"]}\n'),
    ],
)
def test_words_and_their_tags(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = load_samples(str(tmp_path / name), "evaluation")
    assert found.texts == ("Ada ran", "x")
    assert found.tags == (("B-per", "O"), ("O",))
    assert found.taking([1]).tags == (("O",),)
    assert load_samples(str(tmp_path / name), "calibration").texts == found.texts


def test_tags_are_part_of_the_digest(tmp_path):
    digests = []
    for tag in "BI":
        path = tmp_path / f"{tag}.csv"
        path.write_text(f"text,tags\nAda,{tag}-per\n", encoding="utf-8")
        digests.append(load_samples(str(path), "evaluation").digest)
    assert len(set(digests)) == 2


def test_numbers_are_tags(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"words": ["Ada", "ran"], "tags": [3, 0]}) + "\n", encoding="utf-8")
    assert load_samples(str(path), "evaluation").tags == ((3, 0),)


def test_tags_that_do_not_fit_are_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,tags\nAda ran,O\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"tags do not fit the words[\s\S]*row 1[\s\S]*expected: 2 tags"):
        load_samples(str(path), "evaluation")


def test_pairs_are_kept_for_a_model_that_reads_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,text2\nq,a\nq,b\nq,a\nq, \n", encoding="utf-8")
    found = load_samples(str(path), "calibration", pairs=True)
    assert (found.texts, found.pairs) == (("q", "q"), ("a", "b"))
    assert load_samples(str(path), "calibration").texts == ("q", "a", "b")
    assert load_samples("stsb", "calibration", pairs=True).pairs is None
