import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.graphs import graph, integers, lookup, node, operators, serialized
from toolkit.errors import DataError, NumericsError
from toolkit.feeds import Feed
from toolkit.lower import lower
from toolkit.observe import SAMPLE_ROWS, Activation, _Accumulator, observe

WEIGHT = integers(0, 4, 3)


def table(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


def feeds_of(*sentences: list[int]) -> list[Feed]:
    return [{"ids": np.array([sentence], np.int64)} for sentence in sentences]


def accumulate(parts: list[np.ndarray]) -> Activation:
    accumulator = _Accumulator("x")
    for part in parts:
        accumulator.add(part)
    return accumulator.result()


def test_extremes_are_those_of_all_tokens_at_once():
    rows = table(50)
    sentences = [[3, 7, 7], [41], [8, 2, 30, 12], [0, 3]]
    ranges = observe(lower(lookup(rows, WEIGHT)), feeds_of(*sentences))
    assert list(ranges.activations) == ["x"]
    seen = rows[np.concatenate(sentences)]
    found = ranges.activations["x"]
    np.testing.assert_array_equal(found.minimum, seen.min(0))
    np.testing.assert_array_equal(found.maximum, seen.max(0))
    assert (ranges.sentences, ranges.tokens, found.tokens) == (4, 10, 10)


@given(
    hnp.arrays(np.float32, (23, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.lists(st.integers(1, 22), max_size=6).map(sorted),
)
def test_streaming_gives_what_all_at_once_gives(values, cuts):
    parts = [part for part in np.split(values, cuts) if len(part)]
    found, whole = accumulate(parts), accumulate([values])
    for name in ("minimum", "maximum", "sample", "tokens"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    np.testing.assert_array_equal(found.minimum, values.min(0))
    np.testing.assert_array_equal(found.maximum, values.max(0))


@pytest.mark.parametrize("cuts", [[], [1], [3, 20, 22]])
def test_the_moment_is_the_mean_over_all_tokens(cuts):
    values = table(23)
    found = accumulate(np.split(values, cuts))
    np.testing.assert_allclose(found.moment, values.T @ values / 23, rtol=1e-5, atol=1e-6)
    both = Activation.union([found, accumulate([2 * values[:10]])])
    expected = (values.T @ values + 4 * values[:10].T @ values[:10]) / 33
    np.testing.assert_allclose(both.moment, expected, rtol=1e-5, atol=1e-6)


def test_a_few_tokens_are_all_in_the_sample():
    values = table(SAMPLE_ROWS)
    np.testing.assert_array_equal(accumulate([values[:100], values[100:]]).sample, values)


def test_the_sample_is_bounded_repeatable_and_from_everywhere():
    values = np.arange(40_000, dtype=np.float32).reshape(-1, 2)
    parts = np.split(values, 100)
    first, again = accumulate(parts).sample, accumulate(parts).sample
    np.testing.assert_array_equal(first, again)
    assert first.shape == (SAMPLE_ROWS, 2)
    places = first[:, 0] / 2
    assert len(np.unique(places)) == SAMPLE_ROWS
    np.testing.assert_array_equal(first[:, 1], first[:, 0] + 1)  # rows are kept whole
    by_quarter = np.bincount((places // 5000).astype(int), minlength=4)
    assert by_quarter.min() >= 40  # 64 expected, standard deviation 7


def test_the_last_axis_holds_the_channels():
    values = table(24).reshape(2, 3, 4, 4)
    found = accumulate([values])
    assert found.tokens == 24
    np.testing.assert_array_equal(found.maximum, values.max((0, 1, 2)))


def test_memory_does_not_grow_with_the_data():
    batch = np.random.default_rng(0).normal(size=(2048, 16)).astype(np.float32)
    sample_bytes = SAMPLE_ROWS * 16 * 4

    def held_after(batches: int) -> int:
        tracemalloc.start()
        try:
            accumulator = _Accumulator("x")
            for _ in range(batches):
                accumulator.add(batch + 1)
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    held_after(1)  # whatever is made once
    assert held_after(1) < 2 * sample_bytes  # nor is the first batch held, which is eight times the sample
    assert held_after(400) < 2 * sample_bytes  # one more row kept of each batch would be 25 KiB


def test_observing_twice_gives_the_same():
    lowered = lower(lookup(table(400), WEIGHT))
    feeds = feeds_of(*([[number, 399 - number] for number in range(300)]))
    first, second = (observe(lowered, feeds).activations["x"] for _ in range(2))
    np.testing.assert_array_equal(first.sample, second.sample)
    assert len(first.sample) == SAMPLE_ROWS


def test_the_lowered_graph_is_left_as_it_was():
    lowered = lower(lookup(table(5), WEIGHT))
    before = serialized(lowered.model)
    observe(lowered, feeds_of([1, 2]))
    assert serialized(lowered.model) == before


def test_an_input_that_the_graph_gives_out_anyway():
    nodes = [
        node("Gather", ["table", "ids"], "x"),
        node("MatMul", ["x", "w"], "y"),
    ]
    model = graph(nodes, {"table": table(6), "w": WEIGHT}, {"ids": ["batch", "length"]}, outputs=["y", "x"])
    found = observe(lower(model), feeds_of([2, 3])).activations["x"]
    np.testing.assert_array_equal(found.maximum, table(6)[2:4].max(0))


def test_a_layer_that_is_fed_from_outside():
    model = graph([node("MatMul", ["x", "w"], "y")], {"w": WEIGHT}, {"x": ["batch", "length", 4]})
    values = integers(5, 2, 3, 4)
    found = observe(lower(model), [{"x": values}]).activations["x"]
    np.testing.assert_array_equal(found.minimum, values.min((0, 1)))


def test_a_graph_without_layers_has_nothing_to_observe():
    model = graph([node("Gather", ["table", "ids"], "y")], {"table": table(5)}, {"ids": ["batch", "length"]})
    lowered = lower(model)
    assert operators(lowered.model) == ["Gather"]
    ranges = observe(lowered, feeds_of([1, 2, 3]))
    assert (ranges.activations, ranges.sentences, ranges.tokens) == ({}, 1, 3)


@pytest.mark.parametrize(("bad", "count"), [("nan", 3), ("inf", 3), ("-inf", 3)])
def test_what_is_not_finite_is_refused_by_name(bad, count):
    # log of -1 is NaN, log of 0 and -log of 0 are infinite: the weights themselves are finite.
    rows = np.abs(table(5)) + 1
    rows[3, :3] = {"nan": -1, "inf": 0, "-inf": 0}[bad]
    nodes = [
        node("Gather", ["table", "ids"], "g"),
        node("Log", ["g"], "l"),
        node("Mul", ["l", "sign"], "x"),
        node("MatMul", ["x", "w"], "y"),
    ]
    sign = np.float32(-2 if bad == "inf" else 2)
    model = graph(nodes, {"table": rows, "w": WEIGHT, "sign": np.asarray(sign)}, {"ids": ["batch", "length"]})
    lowered = lower(model)
    observe(lowered, feeds_of([1, 2]))
    expected = rf"not finite on calibration data\n  where: x\n  got: {count} numbers of 8 are"
    with pytest.raises(NumericsError, match=expected) as raised:
        observe(lowered, feeds_of([1, 2], [2, 3]))
    assert raised.value.exit_code == 1


def test_no_feeds_are_refused():
    with pytest.raises(DataError, match="the calibration set is empty"):
        observe(lower(lookup(table(5), WEIGHT)), [])


def test_nothing_added_is_refused_by_name():
    with pytest.raises(DataError, match=r"nothing was observed\n  where: some\.tensor"):
        _Accumulator("some.tensor").result()


def test_progress_is_told():
    told = []

    def track(items, what, total):
        told.append((what, total))
        return items

    observe(lower(lookup(table(5), WEIGHT)), feeds_of([1], [2]), track)
    assert told == [("observe activations", 2)]
