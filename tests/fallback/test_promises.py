import numpy as np
import pytest

from toolkit.fallback.promises import promised
from toolkit.limits import Bounds, Limit

REFERENCE = np.array([[1, 0], [0, 1], [3, 4]], np.float32)
TURNED = REFERENCE[:, ::-1]


@pytest.mark.parametrize(
    ("metric", "bounds"),
    [
        ("cosine_mean", Bounds(min=0.9)),
        ("cosine_p1", Bounds(min=0.9)),
        ("cosine_min", Bounds(min=0.9)),
        ("sqnr_db", Bounds(min=10)),
        ("label_flips", Bounds(max=0.5)),
        ("score_correlation", Bounds(min=0.9)),
    ],
)
def test_limits_without_labels_hold_or_do_not(metric, bounds):
    assert promised({metric: bounds}, REFERENCE, REFERENCE, multi_label=False)
    assert not promised({metric: bounds}, REFERENCE, TURNED, multi_label=False)


def test_limits_that_need_labels_are_left_to_the_gate():
    assert promised({"accuracy": Limit(max_drop=0.01)}, REFERENCE, TURNED, multi_label=False)


def test_a_multi_label_model_flips_each_label_by_itself():
    limits = {"label_flips": Bounds(max=0.4)}
    found = REFERENCE + np.array([[0, 1], [0, 0], [0, 0]], np.float32)
    assert promised(limits, REFERENCE, found, multi_label=True)
    assert not promised(limits, REFERENCE, TURNED - 0.5, multi_label=True)


def test_nothing_is_promised_by_what_is_not_finite():
    assert not promised({}, REFERENCE, np.full((3, 2), np.inf, np.float32), multi_label=False)
