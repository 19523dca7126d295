"""Text generation over HTTP, asked of a real server."""

import json
import re
import signal
import time
from contextlib import closing

import pytest

from tests.runtime.lm import PROMPT, REST, ROUND, lm_parts, model_bytes, table
from tests.runtime.server import start
from toolkit.runtime import Sampling, load

TEXT, CHAT = "/v1/completions", "/v1/chat/completions"
STORY = {"model": "stories", "prompt": PROMPT, "temperature": 0}
TALK = {"model": "stories", "messages": [{"role": "user", "content": PROMPT}], "temperature": 0}
LONG = {"model": "endless", "prompt": "a", "temperature": 0, "max_tokens": 30_000}
"""Takes a minute at least, so that it still runs when another process has been waited for."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lms")
    lm_parts().write(folder / "stories")
    lm_parts(ROUND, chat=False, name="endless", context=100_000, work=512).write(folder / "endless")
    return folder


@pytest.fixture(scope="module")
def lm_server(models):
    started = start(models, "--threads", "1")
    yield started
    assert started.stop() == 0


def events(body: bytes) -> list:
    """Return what was sent as server-sent events; [DONE] as it is."""
    found = [line.removeprefix("data: ") for line in body.decode().splitlines() if line]
    return [one if one == "[DONE]" else json.loads(one) for one in found]


def streaming(server, path, body):
    """Ask for a stream and return the connection and its answer, from which nothing was read yet."""
    connection = server.connect()
    connection.request("POST", path, json.dumps({**body, "stream": True}), {"Content-Type": "application/json"})
    return connection, connection.getresponse()


def metric(server, name: str, model: str) -> int:
    found = re.search(rf'edgequant_{name}{{model="{model}"}} (\d+)', server.ask("GET", "/metrics").body.decode())
    return int(found[1])


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_completion_is_the_runtimes(lm_server, models):
    reply = lm_server.post(TEXT, STORY)
    answer = reply.json
    assert answer["choices"] == [{"index": 0, "text": REST, "logprobs": None, "finish_reason": "stop"}]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 12, "total_tokens": 15}
    assert (answer["object"], answer["model"]) == ("text_completion", "stories")
    assert answer["id"].startswith("cmpl-")
    assert lm_server.log_of(reply)["tokens"] == 15
    sampled = {**STORY, "prompt": ["cat"], "temperature": 1.5, "seed": 4, "top_k": 40, "top_p": 0.9, "max_tokens": 9}
    expected = load(models / "stories").generate("cat", Sampling(9, 1.5, 0.9, 40, 4)).text
    assert lm_server.post(TEXT, sampled).json["choices"][0]["text"] == expected


def test_defaults_are_openais(lm_server):
    answer = lm_server.post(TEXT, {"model": "endless", "prompt": "a"}).json
    assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (16, "length")
    hot = [lm_server.post(CHAT, {"messages": [{"role": "user", "content": "z"}], "model": "stories"}) for _ in range(8)]
    assert len({one.json["choices"][0]["message"]["content"] for one in hot}) > 1


def test_a_chat_is_answered(lm_server):
    answer = lm_server.post(CHAT, TALK).json
    message = {"role": "assistant", "content": REST}
    assert answer["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    assert answer["object"] == "chat.completion"
    parts = [{"type": "text", "text": "once"}, {"type": "text", "text": " upon"}]
    turns = [{"role": "developer", "content": "the"}, {"role": "user", "content": parts}]
    limited = {**TALK, "messages": turns, "max_completion_tokens": 2, "stop": "tim"}
    (choice,) = lm_server.post(CHAT, limited).json["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (" a ", "stop")


def test_a_completion_is_streamed(lm_server):
    connection, response = streaming(lm_server, TEXT, {**STORY, "stream_options": {"include_usage": True}})
    with closing(connection):
        assert response.getheader("Content-Type") == "text/event-stream"
        *pieces, usage, done = events(response.read())
    assert done == "[DONE]"
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 15)
    texts = [piece["choices"][0]["text"] for piece in pieces]
    assert texts == [" a", " time", " the", " cat", "é", "☕", "!", " end", ""]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None] * 8 + ["stop"]
    assert len({piece["id"] for piece in pieces}) == 1


def test_a_chat_is_streamed_and_the_connection_lives_on(lm_server):
    connection, response = streaming(lm_server, CHAT, TALK)
    with closing(connection):
        first, *pieces, last, done = events(response.read())
        connection.request("GET", "/ready")
        assert connection.getresponse().status == 200
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(piece["choices"][0]["delta"]["content"] for piece in pieces) == REST
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert (first["object"], done) == ("chat.completion.chunk", "[DONE]")


def test_requests_sent_before_their_time_are_answered_in_turn(lm_server):
    body = json.dumps({**STORY, "stream": True}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    last = b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = lm_server.raw((head + b"\r\n%s") % (len(body), body) * 2 + last)
    assert (answer.count(b"[DONE]"), answer.count(b"HTTP/1.1 200")) == (2, 3)
    assert answer.endswith(b'{"status": "ready"}')


def test_a_long_text_holds_up_no_short_one_nor_another_model(lm_server):
    connection, response = streaming(lm_server, TEXT, LONG)
    with closing(connection):
        assert response.readline().startswith(b"data: ")
        short = lm_server.post(TEXT, {**LONG, "max_tokens": 5}).json
        assert short["choices"][0]["text"] == " cat a cat a cat"
        assert lm_server.post(TEXT, STORY).json["choices"][0]["text"] == REST
        assert metric(lm_server, "queue_requests", "endless") == 1


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_is_computed_for_a_client_that_has_gone(lm_server, stream):
    until(lambda: metric(lm_server, "queue_requests", "endless") == 0)
    before = metric(lm_server, "generated_tokens_total", "endless")
    connection = lm_server.connect()
    connection.request("POST", TEXT, json.dumps({**LONG, "stream": stream}), {"Content-Type": "application/json"})
    if stream:
        connection.getresponse().readline()
    until(lambda: metric(lm_server, "queue_requests", "endless") == 1)
    connection.close()
    until(lambda: metric(lm_server, "queue_requests", "endless") == 0)
    assert metric(lm_server, "generated_tokens_total", "endless") - before < LONG["max_tokens"]


@pytest.mark.parametrize(
    ("path", "body", "param", "message"),
    [
        (TEXT, {**STORY, "prompt": 7}, "prompt", "must be a string"),
        (TEXT, {"model": "stories"}, "prompt", "is missing"),
        (TEXT, {**STORY, "prompt": ["a", "b"]}, "prompt", "has 2 texts; send one a request"),
        (TEXT, {**STORY, "prompt": [1, 2]}, "prompt[0]", "holds token numbers"),
        (TEXT, {**STORY, "max_tokens": 0}, "max_tokens", "at least 1"),
        (TEXT, {**STORY, "max_tokens": 46}, None, "the prompt is too long: got: 3 tokens and 46 to come"),
        (TEXT, {**LONG, "max_tokens": 40_000}, None, "have 40002 tokens; at most 32768 are taken"),
        (TEXT, {**STORY, "temperature": "hot"}, "temperature", "must be a number, not a string"),
        (TEXT, {**STORY, "temperature": True}, "temperature", "must be a number, not true or false"),
        (TEXT, {**STORY, "temperature": 3}, "temperature", "out of range: got: 3, expected: from 0 to 2"),
        (TEXT, {**STORY, "top_k": -1}, "top_k", "whole number of at least 0"),
        (TEXT, {**STORY, "seed": 1.5}, "seed", "whole number of at least 0"),
        (TEXT, {**STORY, "stop": ["a", 1]}, "stop", "a string or a list of strings"),
        (TEXT, {**STORY, "stop": ""}, "stop", "none of them empty"),
        (TEXT, {**STORY, "n": 2}, "n", "'n' is not done here"),
        (TEXT, {**STORY, "suffix": "x"}, "suffix", "unknown field 'suffix'"),
        (TEXT, {**STORY, "stream": 1}, "stream", "true or false"),
        (TEXT, {**STORY, "stream_options": {}}, "stream_options", "are of a stream"),
        (TEXT, {**STORY, "stream": True, "stream_options": {"x": 1}}, "stream_options.x", "include_usage"),
        (CHAT, {**TALK, "messages": []}, "messages", "a list of objects, not an empty one"),
        (CHAT, {**TALK, "messages": ["hi"]}, "messages[0]", "must be a JSON object"),
        (CHAT, {**TALK, "messages": TALK["messages"] * 300}, "messages", "has 300 parts; at most 256"),
        (CHAT, {**TALK, "messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", 'not "tool"'),
        (CHAT, {**TALK, "messages": [{"role": "user"}]}, "messages[0].content", "is missing"),
        (CHAT, {**TALK, "messages": [{"role": "user", "content": 1}]}, "messages[0].content", "holds token numbers"),
        (
            CHAT,
            {**TALK, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
            "must be 'text', not \"image_url\"",
        ),
        (CHAT, {**TALK, "tools": []}, "tools", "unknown field 'tools'"),
        (CHAT, {**TALK, "model": "endless"}, None, "the model has no chat template"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(lm_server, path, body, param, message):
    reply = lm_server.post(path, body)
    assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")
    assert reply.json["error"]["param"] == param
    assert message in reply.error


def test_a_stream_that_cannot_begin_is_an_error_like_any_other(lm_server):
    reply = lm_server.post(TEXT, {**STORY, "max_tokens": 46, "stream": True})
    assert (reply.status, reply.json["error"]["code"]) == (400, "context_length_exceeded")


def test_models_tell_what_they_are(lm_server):
    told = {one["id"]: one for one in lm_server.ask("GET", "/v1/models").json["data"]}
    assert {name: (one["task"], one["max_length"], one["chat"]) for name, one in told.items()} == {
        "stories": ("text-generation", 48, True),
        "endless": ("text-generation", 100_000, False),
    }
    assert lm_server.post(TEXT, {"prompt": "a"}).error == "name the model: endless, stories"
    assert "no model is served for embedding" in lm_server.post("/v1/embeddings", {"input": "a"}).error


def test_a_server_without_a_language_model_says_so(server):
    assert server.post(CHAT, TALK | {"model": None}).error == "no model is served for text-generation"
    assert "is for embedding, not for text-generation" in server.post(TEXT, {**STORY, "model": "tiny"}).error


def test_more_than_the_queue_holds_is_refused(serve, models):
    server = serve(models / "endless", "--threads", "1", "--max-queue", "1")
    connection, response = streaming(server, TEXT, LONG)
    with closing(connection):
        response.readline()
        refused = server.post(TEXT, LONG)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.json["error"]["code"] == "rate_limit_exceeded"


def test_time_that_runs_out_is_told(serve, models):
    server = serve(models / "endless", "--threads", "1", "--max-generations", "1", "--generation-timeout", "0.5")
    whole = server.post(TEXT, LONG)
    assert (whole.status, whole.error) == (504, "the text took more than 0.5 seconds")
    connection, response = streaming(server, TEXT, LONG)
    with closing(connection):
        last = events(response.read())[-1]
    assert last["error"]["message"] == "the text took more than 0.5 seconds"


def test_a_stream_is_sent_to_its_end_before_the_server_stops(serve, models):
    server = serve(models / "endless", "--threads", "1")
    connection, response = streaming(server, TEXT, {**LONG, "max_tokens": 300})
    with closing(connection):
        response.readline()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: any(line["event"] == "stopping" for line in server.logs))
        assert response.read().endswith(b"data: [DONE]\n\n")
    assert server.wait() == 0
    assert server.logs[-1]["unanswered"] == 0


def test_a_model_that_fails_takes_nothing_with_it(serve, tmp_path):
    parts = lm_parts()
    parts.files["model.onnx"] = model_bytes(table()[:259])  # the words' rows are missing
    server = serve(parts.write(tmp_path / "b"))
    for stream in (False, True):
        reply = server.post(TEXT, {**STORY, "stream": stream})
        assert (reply.status, reply.json["error"]["type"]) == (500, "server_error")
        assert server.log_of(reply, "failed")["error"].startswith("BundleError: the model failed")
    assert server.post(TEXT, {**STORY, "prompt": "é", "max_tokens": 1}).status == 200
