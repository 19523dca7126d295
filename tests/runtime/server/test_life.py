"""Start, token, overload and the end."""

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.runtime.server import JSON, Server
from tests.runtime.tiny import TOKENIZER_INFO, Parts, table
from toolkit.runtime import load

SECRET = "correct-horse-battery"  # noqa: S105
TEXT = "the cat sat on the mat " * 2000


@pytest.mark.parametrize("where", ["file", "variable"])
def test_token(serve, tiny, tmp_path, where):
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    env = {"EDGEQUANT_TOKEN": SECRET} if where == "variable" else {"EDGEQUANT_TOKEN": "the file comes first"}
    server = serve(tiny, *(["--token-file", file] if where == "file" else []), env=env)
    assert server.ask("GET", "/health").status == 200
    assert server.ask("GET", "/ready").status == 200
    for given in ("", "Bearer", f"Bearer {SECRET}x", f"Basic {SECRET}", SECRET, "Bearer \xff"):
        for path, method in (("/metrics", "GET"), ("/v1/models", "GET"), ("/embed", "POST"), ("/none", "GET")):
            reply = server.ask(method, path, headers={"Authorization": given})
            assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
            assert reply.json["error"]["type"] == "authentication_error"
    right = {"Authorization": f"bearer {SECRET}"}
    assert server.ask("POST", "/embed", {"texts": "a"}, {**JSON, **right}).status == 200
    assert server.ask("GET", "/metrics", headers=right).status == 200
    assert server.stop() == 0
    assert SECRET not in "".join(server.lines)


def busy(folder, **changes):
    """A bundle whose texts of many tokens take a while."""
    info = TOKENIZER_INFO.__class__("tokenizer.json", 4096, 0)
    return Parts(changes={"tokenizer": info, **changes}).write(folder)


def test_overload_is_refused_and_nothing_accepted_is_lost(serve, tmp_path):
    folder = busy(tmp_path / "busy")
    server = serve(folder, "--max-queue", "3", "--max-characters", "100000")
    right = load(folder).embed(TEXT).tolist()
    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(lambda _: server.post("/embed", {"texts": [TEXT] * 8}), range(72)))
    statuses = {reply.status for reply in replies}
    assert statuses == {200, 429}
    for reply in replies:
        if reply.status == 429:
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.json["error"]["code"] == "rate_limit_exceeded"
        else:
            assert all(row == pytest.approx(right, abs=1e-6) for row in reply.json["embeddings"])
    page = server.ask("GET", "/metrics").body.decode()
    refused = sum(reply.status == 429 for reply in replies)
    assert f'edgequant_rejected_total{{reason="busy"}} {refused}\n' in page
    assert server.stop() == 0


def test_bodies_are_held_within_a_bound(serve, tiny):
    """Clients that send large bodies slowly cannot make the server hold more than it was given."""
    server = serve(tiny)
    size = 1_000_000
    head = (
        f"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode()
    )
    slow = [socket.create_connection(server.address, timeout=20) for _ in range(10)]
    for connection in slow:
        connection.sendall(head + b" " * (size - 1))
    deadline = time.monotonic() + 20
    while len([line for line in server.logs if line.get("status") == 429]) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [line["status"] for line in server.logs if line["event"] == "request"] == [429, 429]
    for connection in slow:
        connection.close()
    assert server.post("/embed", {"texts": "a"}).status == 200
    assert server.stop() == 0


def test_too_many_connections(serve, tiny):
    server = serve(tiny, "--max-connections", "2")
    held = [socket.create_connection(server.address) for _ in range(2)]
    time.sleep(0.2)
    answer = server.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", end=True)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"too many connections" in answer
    for connection in held:
        connection.close()
    time.sleep(0.2)
    page = server.ask("GET", "/metrics").body.decode()
    assert 'edgequant_rejected_total{reason="too many connections"} 1\n' in page


def test_time_runs_out(serve, tmp_path):
    server = serve(busy(tmp_path / "busy"), "--timeout", "0.05", "--max-characters", "100000")
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: server.post("/embed", {"texts": [TEXT] * 16}), range(8)))
    assert {reply.status for reply in replies} <= {200, 503, 504}
    late = [reply for reply in replies if reply.status != 200]
    assert late
    assert all("more than 0.05 seconds" in reply.error for reply in late)
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_that_was_accepted_is_lost_at_the_end(serve, tmp_path, number):
    folder = busy(tmp_path / "busy")
    server = serve(folder, "--max-characters", "100000")
    right = load(folder).embed(TEXT).tolist()
    body = json.dumps({"texts": [TEXT] * 4}).encode()
    connections = [server.connect() for _ in range(12)]
    idle = socket.create_connection(server.address, timeout=20)
    half = socket.create_connection(server.address, timeout=20)
    half.sendall(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{")
    for connection in connections:
        connection.request("POST", "/embed", body, JSON)
    while "ran" not in server.ask("GET", "/health").headers and not depth(server):
        time.sleep(0.01)
    server.process.send_signal(number)
    finish = threading.Timer(0.5, half.sendall, [b'"texts": "a"}'])
    finish.start()
    for connection in connections:
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("connection") in ("close", None)
        assert json.loads(answer.read())["embeddings"] == [pytest.approx(right, abs=1e-6)] * 4
        connection.close()
    assert half.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert idle.recv(100) == b""
    half.close()
    idle.close()
    assert server.wait() == 0
    assert server.logs[-1]["event"] == "stopped"
    assert server.logs[-1]["unanswered"] == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(server.address)


def depth(server: Server) -> int:
    page = server.ask("GET", "/metrics").body.decode()
    return int(page.split('edgequant_queue_requests{model="tiny"} ')[1].split()[0])


def test_a_second_signal_ends_it_at_once(serve, tiny):
    server = serve(tiny, "--read-timeout", "20")
    half = socket.create_connection(server.address)
    half.sendall(b"GET /hea")
    time.sleep(0.2)
    server.process.send_signal(signal.SIGTERM)
    while server.logs[-1]["event"] != "stopping":
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 1
    half.close()


def test_systemd_is_told(serve, tiny, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(20)
        server = serve(tiny, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert listener.recv(100) == b"READY=1"
        assert server.stop() == 0
        assert listener.recv(100) == b"STOPPING=1"


def test_a_unix_socket(serve, tiny, tmp_path):
    path = tmp_path / "socket"
    server = serve(tiny, "--unix", path)
    assert server.logs[-1]["address"] == f"unix:{path}"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert server.stop() == 0
    assert not path.exists()


def test_results_do_not_depend_on_who_else_asks(server, bundles):
    """Many at once, so that they are run together, against each alone."""
    embedder, tokens = load(bundles / "embedder"), load(bundles / "tokens")
    texts = [" ".join(["the", "cat", "dog", "ran"][i % 4 :] * (i % 7 + 1)) for i in range(60)]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda text: server.post("/embed", {"texts": text}).json["embeddings"][0], texts))
        entities = list(pool.map(lambda text: server.post("/tokens", {"texts": text}).json["results"][0], texts))
    assert table().shape[1] == len(found[0])
    for text, row, tagged in zip(texts, found, entities, strict=True):
        assert row == pytest.approx(embedder.embed(text).tolist(), abs=1e-6)
        alone = tokens.entities([text])[0]
        assert [(e["label"], e["start"], e["end"]) for e in tagged] == [(e.label, e.start, e.end) for e in alone]
    page = server.ask("GET", "/metrics").body.decode()
    alone = int(page.split('edgequant_batch_texts_bucket{model="tiny",le="1"} ')[1].split()[0])
    every = int(page.split('edgequant_batch_texts_count{model="tiny"} ')[1].split()[0])
    assert every > alone  # some were run together
