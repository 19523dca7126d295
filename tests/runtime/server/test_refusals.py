"""Whatever is sent, the answer is a clear 4xx in OpenAI's form, and the server lives."""

import socket
import time

import numpy as np
import pytest

from tests.runtime.tiny import Parts, model_bytes, table

GOOD = {"texts": "a cat"}
HEAD = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def _lives(server):
    yield
    assert server.post("/embed", GOOD).status == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"texts": "\xff"}', "not UTF-8: a wrong byte at 11"),
        (b'{"texts": NaN}', "NaN is not a number of JSON"),
        (b'{"texts": "a", "texts": "b"}', "'texts' occurs twice"),
        (b"{" + b",".join(b'"%d":0' % (i % 90_000) for i in range(90_001)) + b"}", "key '0' occurs twice"),
        (b"[" * 500_000, "nested too deeply"),
        (b'{"texts":' * 50_000 + b"1" + b"}" * 50_000, "nested too deeply"),
        (b'{"texts": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[]", "must be a JSON object, not a list"),
        (b"3", "must be a JSON object, not a whole number"),
        ({}, "'texts' is missing"),
        ({"texts": None}, "'texts' must be a string or a list of strings, not null"),
        ({"texts": []}, "'texts' is empty"),
        ({"texts": {"a": 1}}, "not an object"),
        ({"texts": ["a", 7]}, "'texts[1]' holds token numbers"),
        ({"texts": ["a", True]}, "'texts[1]' must be a string, not true or false"),
        ({"texts": [["a"]]}, "'texts[0]' holds token numbers"),
        ({"texts": "\ud800"}, "'texts' is not valid Unicode: half of a surrogate pair at position 0"),
        ({"texts": ["a"] * 257}, "'texts' has 257 texts; at most 256 are taken"),
        ({"texts": "a" * 65_537}, "'texts' has 65537 characters; at most 65536 are taken"),
        ({"texts": "a", "model": 3}, "'model' must be a string, not a whole number"),
        ({"texts": "a", "modle": "x"}, "unknown field 'modle'; there are: model, texts"),
        ({"texts": "a", "model": "emotions"}, "is for classification, not for embedding"),
    ],
)
def test_bodies_that_are_wrong(server, body, words):
    reply = server.post("/embed", body)
    assert reply.status == 400
    assert words in reply.error
    assert reply.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "body", "param", "words"),
    [
        ("/v1/embeddings", {"input": [1, 2]}, "input[0]", "token numbers"),
        ("/v1/embeddings", {"input": [[1, 2]]}, "input[0]", "token numbers"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "int8"}, "encoding_format", "'float' or 'base64'"),
        ("/v1/embeddings", {"input": "a", "dimensions": 2}, "dimensions", "4 dimensions and are not cut"),
        ("/v1/embeddings", {"input": "a", "dimensions": True}, "dimensions", "whole number of at least 1"),
        ("/v1/embeddings", {"input": "a", "user": 1}, "user", "must be a string"),
        ("/classify", {"texts": "a", "top_k": 0}, "top_k", "a whole number of at least 1"),
        ("/rerank", {"texts": ["a"]}, "query", "is missing"),
        ("/rerank", {"query": 3, "texts": ["a"]}, "query", "token numbers"),
        ("/rerank", {"query": "a", "texts": ["a"], "top_n": "2"}, "top_n", "not a string"),
        ("/tokens", {"texts": 1.5}, "texts", "not a number"),
    ],
)
def test_fields_that_are_wrong_are_named(server, path, body, param, words):
    reply = server.post(path, body)
    assert reply.status == 400
    assert words in reply.error
    assert reply.json["error"]["param"] == param


def test_unknown_models_routes_and_methods(server):
    reply = server.post("/embed", {"texts": "a", "model": "../../etc/passwd"})
    assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
    for path in ("/", "/../etc/passwd", "/embed/", "/v1", "//embed", "/%2e%2e/manifest.json", "/v1/modelss"):
        reply = server.ask("GET", path)
        assert (reply.status, "there is no such route" in reply.error) == (404, True)
    assert server.ask("GET", "/v1/models/..%2f..%2fmanifest.json").status == 404
    for method, path, allowed in (
        ("GET", "/embed", "POST"),
        ("HEAD", "/embed", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("OPTIONS", "/classify", "POST"),
    ):
        reply = server.ask(method, path)
        assert (reply.status, reply.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_wrong_content_types(server, headers):
    reply = server.ask("POST", "/embed", GOOD, headers)
    assert reply.status == 415
    assert "the body must" in reply.error


def test_right_content_types(server):
    for kind in ("application/json; charset=UTF-8", "Application/JSON"):
        assert server.ask("POST", "/embed", GOOD, {"Content-Type": kind}).status == 200


def test_100_mb_are_refused_and_not_read_into_memory(server):
    before = peak(server)
    assert "at most 1048576 bytes" in server.post("/embed", b"x" * 100_000_000).error
    chunks = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answer = server.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks * 200, end=True)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert peak(server) < before + 30_000_000


def test_a_body_of_tiny_chunks_is_refused(server):
    answer = server.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 5000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"more than 4096 chunks" in answer
    sound = b"e\r\n" + b'{"texts": "a"}' + b"\r\n0\r\n\r\n"
    answer = server.raw(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + sound)
    assert answer.startswith(b"HTTP/1.1 200 ")


def peak(server) -> int:
    page = server.ask("GET", "/metrics").body.decode()
    return int(page.split('edgequant_memory_bytes{kind="peak"} ')[1].split()[0])


def test_a_large_body_is_refused_before_it_is_sent(server):
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 14\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b'{"texts": "a"}')
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", 400),  # TLS
        (b"GET /health HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000, 431),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (HEAD + b"Content-Length: 100\r\n\r\n{", 400),  # and the client ends
    ],
)
def test_what_is_not_http_is_told_so(server, data, status):
    answer = server.raw(data, end=True)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"not HTTP/1.1 that can be read" in answer


def test_a_client_that_goes_away_is_no_error(server):
    for data in (b"", HEAD, HEAD + b"Content-Length: 14\r\n\r\n" + b'{"texts": "a"}'):
        with socket.create_connection(server.address) as connection:
            connection.sendall(data)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset at close
    assert not [line for line in server.logs if line["level"] == "error"]


def test_requests_in_one_go_are_answered_in_turn(server):
    asked = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET /ready HTTP/1.0\r\n\r\n"
    answer = server.raw(asked)
    assert answer.count(b"HTTP/1.1 200 ") == 4
    assert answer.endswith(b'{"status": "ready"}')


def test_slow_clients(serve, tiny):
    """A head or a body that does not come is told so; a connection that asks nothing is closed."""
    slow = serve(tiny, "--read-timeout", "0.3", "--idle-timeout", "0.6")
    assert slow.raw(b"").startswith(b"")
    assert slow.raw(b"GET /hea").startswith(b"HTTP/1.1 408 ")
    answer = slow.raw(HEAD + b"Content-Length: 100\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the request's body took more than 0.3 seconds" in answer
    with socket.create_connection(slow.address, timeout=10) as connection:  # a byte now and then does not help
        until = time.monotonic() + 10
        while time.monotonic() < until:
            connection.sendall(b"x")
            time.sleep(0.05)
            connection.setblocking(False)
            try:
                found = connection.recv(100)
                break
            except BlockingIOError:
                connection.setblocking(True)
        assert found.startswith(b"HTTP/1.1 408 ")
    assert slow.post("/embed", GOOD).status == 200
    assert slow.stop() == 0


def test_a_client_that_takes_no_answer_is_let_go(serve, tiny):
    server = serve(tiny, "--read-timeout", "0.3")
    gone = pytest.raises((BrokenPipeError, ConnectionResetError))  # when the kernel's buffers are full
    with socket.create_connection(server.address, timeout=20) as connection, gone:
        while True:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    assert server.post("/embed", GOOD).status == 200
    assert server.stop() == 0


def test_a_model_that_fails_is_told_without_a_path(serve, tmp_path):
    parts = Parts()
    parts.files["model.onnx"] = model_bytes(table() * np.float32("nan"))
    server = serve(parts.write(tmp_path / "nan"))
    reply = server.post("/embed", GOOD)
    assert (reply.status, reply.json["error"]["type"]) == (500, "server_error")
    assert reply.error == f"the request failed; the server's log has it under {reply.headers['x-request-id']}"
    assert "NaN or infinite" in server.log_of(reply, "failed")["error"]
    assert server.ask("GET", "/ready").status == 200
    assert server.stop() == 0
