from prometheus_client.parser import text_string_to_metric_families

from toolkit.runtime.server.metrics import Histogram, Metrics, memory_bytes


def test_a_name_with_quotes_is_escaped():
    metrics = Metrics()
    name = 'a "model"\\\nof two lines'
    metrics.add_model(name, "embedding", "t", lambda: 3)
    families = {family.name: family for family in text_string_to_metric_families(metrics.page().decode())}
    (sample,) = families["edgequant_queue_requests"].samples
    assert (sample.labels, sample.value) == ({"model": name}, 3)


def test_buckets_are_cumulative_and_their_bounds_belong_to_them():
    histogram = Histogram((1, 2, 4))
    for value in (0.5, 1, 1.5, 4, 9):
        histogram.add(value)
    lines = [line.rpartition(" ")[2] for line in histogram.lines("h", ())]
    assert lines == ["2", "3", "4", "5", "16.0", "5"]


def test_memory_where_linux_does_not_tell(tmp_path):
    assert memory_bytes(tmp_path / "none") == {}
    assert memory_bytes()["peak"] >= memory_bytes()["now"] > 0
