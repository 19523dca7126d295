"""The digest of a set, and the check that calibration and evaluation share no text."""

import pytest

from toolkit.errors import DataError
from toolkit.samples import Samples, check_disjoint


def samples(*texts: str, pairs: tuple[str, ...] | None = None, name: str = "s") -> Samples:
    return Samples(name, "", "", "", texts, pairs).sealed()


def test_digest_follows_the_content_alone() -> None:
    assert samples("a", name="x").digest == samples("a", name="y").digest
    assert len({samples(*each).digest for each in [("a",), ("b",), ("a", "b"), ("ab",), ("b", "a")]}) == 5
    assert samples("a", pairs=("b",)).digest != samples("a", "b").digest


@pytest.mark.parametrize(
    ("calibration", "evaluation"),
    [
        (samples("a", " b \t c"), samples("x", pairs=("b c\n",))),
        (samples("q", pairs=("b c",)), samples("b c")),
    ],
)
def test_overlap(calibration: Samples, evaluation: Samples) -> None:
    with pytest.raises(DataError, match=r"(?s)overlap.*1 texts in both: 'b c'.*hint: take these rows out"):
        check_disjoint(calibration, evaluation)


def test_overlap_of_many_names_the_first() -> None:
    with pytest.raises(DataError, match=r"5 texts in both: 'a', 'b', 'c', \.\.\."):
        check_disjoint(samples(*"xabcde"), samples(*"abcdez"))


def test_disjoint_though_parts_are_shared() -> None:
    check_disjoint(samples("a b", "A"), samples("a", "b"))
