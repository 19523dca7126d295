"""OpenAI's own client against the server; test_endpoints.py holds the same shapes without it."""

import pytest

from toolkit.runtime import load

openai = pytest.importorskip("openai", reason="OpenAI's client is not installed: pip install openai")


@pytest.fixture
def client(server):
    url = f"http://127.0.0.1:{server.address[1]}/v1"
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as made:
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
