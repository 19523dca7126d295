"""OpenAI's own client against the server; test_endpoints.py holds the same shapes without it."""

import pytest

from tests.runtime.lm import PROMPT, REST, lm_parts
from toolkit.runtime import load

openai = pytest.importorskip("openai", reason="OpenAI's client is not installed: pip install openai")


def client_of(server):
    url = f"http://127.0.0.1:{server.address[1]}/v1"
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0)


@pytest.fixture
def client(server):
    with client_of(server) as made:
        yield made


@pytest.fixture
def writer(serve, tmp_path):
    with client_of(serve(lm_parts().write(tmp_path / "lm"))) as made:
        yield made


def test_embeddings_by_default_and_as_floats(client, tiny):
    text = "the cat sat"
    expected = load(tiny).embed(text).tolist()
    packed = client.embeddings.create(model="tiny", input=[text, "a"])
    assert packed.data[0].embedding == pytest.approx(expected, abs=1e-7)
    assert packed.usage.prompt_tokens == 8
    plain = client.embeddings.create(model="tiny", input=text, encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(expected, abs=1e-7)


def test_models(client):
    assert "tiny" in [model.id for model in client.models.list()]
    assert client.models.retrieve("tiny").owned_by == "edgequant"


def test_errors_are_the_clients_own(client):
    with pytest.raises(openai.NotFoundError, match="no model 'none'") as missing:
        client.embeddings.create(model="none", input="a")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="token numbers") as wrong:
        client.embeddings.create(model="tiny", input=[1, 2])
    assert wrong.value.param == "input[0]"


def test_completions(writer):
    whole = writer.completions.create(model="stories", prompt=PROMPT, temperature=0)
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (REST, "stop")
    options = {"include_usage": True}
    *pieces, last = writer.completions.create(
        model="stories", prompt=PROMPT, temperature=0, stream=True, stream_options=options
    )
    assert "".join(piece.choices[0].text for piece in pieces) == REST
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (3, 12)


def test_chats(writer):
    messages = [{"role": "system", "content": "the"}, {"role": "user", "content": PROMPT}]
    asked = {"model": "stories", "messages": messages, "temperature": 0, "seed": 1, "max_completion_tokens": 20}
    whole = writer.chat.completions.create(**asked)
    assert (whole.choices[0].message.content, whole.usage.total_tokens) == (REST, 16)
    pieces = list(writer.chat.completions.create(**asked, stream=True))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == REST
    assert pieces[-1].choices[0].finish_reason == "stop"
    with pytest.raises(openai.BadRequestError, match="prompt is too long") as wrong:
        writer.chat.completions.create(**asked | {"max_completion_tokens": 47})
    assert wrong.value.code == "context_length_exceeded"
