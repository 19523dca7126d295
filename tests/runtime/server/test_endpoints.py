import base64
import struct

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.runtime.tiny import DIMENSION
from toolkit.runtime import Windows, load

TEXTS = ["the cat sat on the mat", "", "a dog ran", "the dög"]


def test_openai_embeddings_are_the_runtimes(server, tiny):
    expected = load(tiny).embed(TEXTS).tolist()
    reply = server.post("/v1/embeddings", {"input": TEXTS, "model": "tiny", "user": "me"})
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["object"] == "list"
    assert reply.json["model"] == "tiny"
    assert [(row["object"], row["index"]) for row in reply.json["data"]] == [("embedding", i) for i in range(4)]
    found = [
        [struct.unpack("<f", struct.pack("<f", value))[0] for value in row["embedding"]] for row in reply.json["data"]
    ]
    assert found == expected  # every bit: nine digits are enough for a float32
    tokens = sum(load(tiny).model.count_tokens(TEXTS))
    assert reply.json["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_base64_is_the_same_numbers(server, tiny):
    reply = server.post("/v1/embeddings", {"input": TEXTS[0], "encoding_format": "base64", "dimensions": DIMENSION})
    (row,) = reply.json["data"]
    assert struct.unpack(f"<{DIMENSION}f", base64.b64decode(row["embedding"])) == tuple(
        load(tiny).embed(TEXTS[0]).tolist()
    )


def test_embed(server, tiny):
    reply = server.post("/embed", {"texts": "a cat"})
    assert reply.json["model"] == "tiny"
    assert reply.json["embeddings"][0] == pytest.approx(load(tiny).embed("a cat").tolist(), abs=1e-7)
    assert reply.json["tokens"] == 4


def test_classify(server, bundles):
    expected = load(bundles / "classifier").classify(TEXTS, 2)
    reply = server.post("/classify", {"texts": TEXTS, "top_k": 2, "model": "emotions"})
    assert [[(p["label"], p["score"]) for p in row] for row in reply.json["results"]] == [
        [(p.label, p.score) for p in row] for row in expected
    ]
    assert len(server.post("/classify", {"texts": ["a"]}).json["results"][0]) == 4


def test_rerank(server, bundles):
    expected = load(bundles / "reranker").rank("the cat", TEXTS, 3)
    reply = server.post("/rerank", {"query": "the cat", "texts": TEXTS, "top_n": 3})
    assert [(each["index"], each["score"]) for each in reply.json["results"]] == [
        (each.index, pytest.approx(each.score, abs=1e-6)) for each in expected
    ]
    assert len(server.post("/rerank", {"query": "the cat", "texts": TEXTS}).json["results"]) == 4


def test_tokens_have_their_places(server, bundles):
    text = "a very big red dogs ran under the blue tree"
    (expected,) = load(bundles / "tokens").entities([text])
    (found,) = server.post("/tokens", {"texts": text}).json["results"]
    assert [(e["label"], e["start"], e["end"], e["text"]) for e in found] == [
        (e.label, e.start, e.end, e.text) for e in expected
    ]
    assert all(text[e["start"] : e["end"]] == e["text"] for e in found)


@pytest.mark.parametrize(("path", "name"), [("/embed", "embedder"), ("/classify", "classifier"), ("/tokens", "tokens")])
def test_long_texts_are_read_in_windows_where_that_is_asked_for(server, bundles, path, name):
    model = load(bundles / name)
    texts = ["a cat", "the dog ran under the tree " * 40]
    run = {"/embed": "embed", "/classify": "classify", "/tokens": "entities"}[path]
    results = "embeddings" if path == "/embed" else "results"
    for windows in (None, Windows()):
        found = server.post(path, {"texts": texts, "windows": windows is not None}).json
        assert found["tokens"] == sum(model.model.count_tokens(texts, windows))
        expected = getattr(model, run)(texts, windows=windows)
        assert plain(found[results]) == pytest.approx(plain(expected), abs=1e-5)
    assert found["tokens"] > sum(model.model.count_tokens(texts)) + 100
    wrong = server.post(path, {"texts": "a", "windows": 1})
    assert (wrong.status, wrong.error) == (400, "'windows' must be true or false, not a whole number")
    assert server.post("/v1/embeddings", {"input": "a", "windows": True}).status == 400


def plain(results):
    """Return the numbers of embeddings, or the scores of labels or entities, in their order."""
    rows = results.tolist() if hasattr(results, "tolist") else results
    return [getattr(v, "score", v["score"] if isinstance(v, dict) else v) for row in rows for v in row]


def test_models(server):
    listed = server.ask("GET", "/v1/models").json
    assert listed["object"] == "list"
    assert {model["id"]: model["task"] for model in listed["data"]} == {
        "tiny": "embedding",
        "emotions": "classification",
        "reranker": "reranking",
        "tokens": "token-classification",
    }
    assert server.ask("GET", "/v1/models/tiny").json["dimension"] == DIMENSION
    assert server.ask("GET", "/v1/models/emotions").json["labels"] == ["joy", "anger", "fear", "none"]
    assert "labels" not in server.ask("GET", "/v1/models/reranker").json
    assert server.ask("GET", "/v1/models/none").json["error"]["code"] == "model_not_found"


def test_health_and_ready_and_head(server):
    assert server.ask("GET", "/health").json == {"status": "ok"}
    assert server.ask("GET", "/ready?x=1").json == {"status": "ready"}
    reply = server.ask("HEAD", "/health")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "16")


def test_metrics_are_prometheus_text(server):
    server.post("/embed", {"texts": ["a", "b"]})
    server.post("/embed", {"texts": 3})
    reply = server.ask("GET", "/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert families["edgequant_requests"].type == "counter"
    assert samples["edgequant_requests_total", ("route", "/embed"), ("status", "200")] >= 1
    assert samples["edgequant_requests_total", ("route", "/embed"), ("status", "400")] >= 1
    assert samples["edgequant_batch_texts_count", ("model", "tiny")] >= 1
    assert samples["edgequant_tokens_total", ("model", "tiny")] >= 6
    assert samples["edgequant_queue_requests", ("model", "tiny")] == 0
    assert samples["edgequant_memory_bytes", ("kind", "peak")] > 1e7
    histogram = [s for s in families["edgequant_request_seconds"].samples if s.labels["route"] == "/embed"]
    buckets = [s.value for s in histogram if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == next(s.value for s in histogram if s.name.endswith("_count"))


def test_request_ids_come_back(server):
    ask = {"Content-Type": "application/json", "X-Request-ID": "my-id.7"}
    assert server.ask("POST", "/embed", {"texts": "a"}, ask).headers["x-request-id"] == "my-id.7"
    odd = server.ask("GET", "/health", headers={"X-Request-ID": "a b"}).headers["x-request-id"]
    assert len(odd) == 16


def test_logs_hold_no_text_of_anybody(server):
    assert server.log_of(server.post("/embed", {"texts": "zebra secret"}))["tokens"] == 4
    assert server.log_of(server.ask("GET", "/zebra?secret"))["route"] == "other"
    logged = server.log_of(server.post("/embed", {"zebra": "secret"}))
    assert logged["status"] == 400
    assert "zebra" not in "".join(server.lines)
    assert "secret" not in "".join(server.lines)
    assert {"time", "level", "id", "method", "route", "status", "ms", "texts", "tokens"} <= logged.keys()
