import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.runtime.tags import entities_of, split_tag


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("", []),
        ("O O", []),
        ("B-x", [("x", 0, 1)]),
        ("B-x I-x O", [("x", 0, 2)]),
        ("B-x B-x", [("x", 0, 1), ("x", 1, 2)]),
        ("B-x I-y I-y", [("x", 0, 1), ("y", 1, 3)]),
        ("O I-x I-x", [("x", 1, 3)]),  # conlleval: a tag inside starts an entity where none is open
        ("I-x B-x", [("x", 0, 1), ("x", 1, 2)]),
        ("S-x S-x", [("x", 0, 1), ("x", 1, 2)]),
        ("B-x I-x E-x I-x", [("x", 0, 3), ("x", 3, 4)]),
        ("B-x L-x U-y", [("x", 0, 2), ("y", 2, 3)]),
        ("PER PER O LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-creative-work I-creative-work", [("creative-work", 0, 2)]),
    ],
)
def test_entities(tags, found):
    assert list(entities_of(tags.split())) == found


def test_a_label_that_looks_like_a_prefix():
    assert split_tag("X-ray") == ("I", "X-ray")
    assert split_tag("B-X-ray") == ("B", "X-ray")


@given(st.lists(st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y", "E-x", "S-y"])))
def test_entities_are_ordered_apart_and_cover_what_is_tagged(tags):
    covered = []
    for label, start, after in entities_of(tags):
        assert start < after
        assert all(tag.endswith(label) for tag in tags[start:after])
        covered += range(start, after)
    assert covered == [place for place, tag in enumerate(tags) if tag != "O"]
