"""Ranges are those of all samples, in memory that does not grow with them."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.graphs import nets
from toolkit.graphs.calibrating import BINS, _wide, least_error, observe
from toolkit.graphs.feeds import read_feeds, split
from toolkit.graphs.preparing import open_graph


def opened(folder, count):
    path, inputs = nets.saved(folder, nets.classifier(), image=nets.images(count))
    graph = open_graph(path)
    return graph, read_feeds(str(inputs), graph.inputs)


def test_extremes_are_those_of_all_samples(tmp_path):
    graph, feeds = opened(tmp_path, 30)
    found = observe(graph, ["image", "probabilities"], feeds, 1)
    images = nets.images(30)
    assert 0.3 * images.min() >= found["image"][0] >= images.min() - 1e-6
    assert 0.3 * images.max() <= found["image"][1] <= images.max() + 1e-6
    assert found["probabilities"][0] == 0


def test_memory_does_not_grow_with_the_samples(tmp_path):
    def peak(count):
        graph, feeds = opened(tmp_path / str(count), 4)
        many = feeds.taking([row % 4 for row in range(count)])
        tracemalloc.start()
        observe(graph, ["image"], many, 1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(400) < 1.2 * peak(40) + 20_000  # a list of 400 places is all that is longer


@given(hnp.arrays(np.float64, 64, elements=st.floats(-(2.0**100), 2.0**100)))
def test_a_range_holds_zero_and_is_finite(values):
    extremes = float(values.min()), float(values.max())
    low, high = _wide(extremes)
    counts = np.histogram(values, BINS, (low, high))[0].astype(np.float64)
    found = least_error(extremes, counts)
    assert found[0] <= 0 <= found[1]
    assert np.isfinite(found).all()
    assert low <= found[0]
    assert found[1] <= high


def test_a_lone_outlier_is_cut_where_that_pays():
    values = np.concatenate([np.random.default_rng(0).normal(size=100_000), [40.0]])
    counts = np.histogram(values, BINS, (values.min(), 40.0))[0].astype(np.float64)
    assert least_error((float(values.min()), 40.0), counts)[1] < 40


def test_both_halves_are_different_samples(tmp_path):
    _, feeds = opened(tmp_path, 9)
    twice = feeds.taking([0, 1, 2, 3, 0, 1, 2, 3])
    a, b = split(twice)
    assert set(a.digests()).isdisjoint(b.digests())
    assert len(a) + len(b) == 8
