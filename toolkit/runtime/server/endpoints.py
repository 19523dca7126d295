"""The routes that run a model: fields in, results out, in OpenAI's form and in a plain one."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import unquote

from toolkit.runtime.arrays import FloatArray
from toolkit.runtime.classifier import Prediction
from toolkit.runtime.manifest import Manifest, Task
from toolkit.runtime.maths import falling
from toolkit.runtime.server.batching import Answer, Batcher
from toolkit.runtime.server.decoding import Decoder
from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.fields import Fields, read_fields
from toolkit.runtime.server.limits import Limits
from toolkit.runtime.server.messages import Gone, Response
from toolkit.runtime.token_classifier import Entity
from toolkit.runtime.tokenization import Text


@dataclass(frozen=True)
class Served:
    """A model that answers: by a Decoder where it generates text, else by a Batcher."""

    manifest: Manifest
    worker: Batcher | Decoder

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.manifest.name


@dataclass(frozen=True)
class Asked:
    """A request that was read, and the model it is for."""

    fields: Fields
    model: Served
    texts: Sequence[Text]

    def response(self, answer: Answer, name: str, values: Iterable[str]) -> Response:
        """Return ``{"model": …, NAME: […], "tokens": …}``; ``values`` are JSON, one a text."""
        body = f'{{"model":{_quote(self.model.name)},"{name}":[{",".join(values)}],"tokens":{answer.tokens}}}'
        return Response(200, body.encode(), texts=len(self.texts), tokens=answer.tokens)


@dataclass(frozen=True)
class Route:
    """A path's task, the fields it knows, how its texts are read and its answer is written."""

    task: Task
    known: frozenset[str]
    texts: Callable[[Fields, Limits], Sequence[Text]]
    write: Callable[[Asked, Answer], Response]
    check: Callable[[Fields, Served], None]

    async def answer(self, models: Mapping[str, Served], body: bytes, limits: Limits, _gone: Gone) -> Response:
        """Read, run and write."""
        fields = read_fields(body, self.known)
        model = choose_model(models, fields.text("model"), self.task)
        self.check(fields, model)
        asked = Asked(fields, model, self.texts(fields, limits))
        batcher = cast(Batcher, model.worker)
        return self.write(asked, await batcher.submit(asked.texts, windows=fields.flag("windows")))


def models(every: Mapping[str, Served], path: str) -> Response:
    """Return all models, or with ``/NAME`` one of them, as OpenAI lists its own."""
    if not path:
        data = [_told(model) for model in every.values()]
        return _json({"object": "list", "data": data})
    name = unquote(path[1:])
    if name not in every:
        raise _no_model(name, every)
    return _json(_told(every[name]))


def _told(model: Served) -> dict[str, object]:
    manifest = model.manifest
    told: dict[str, object] = {"id": model.name, "object": "model", "created": 0, "owned_by": "edgequant"}
    told |= {"task": manifest.task, "target": manifest.target.name, "max_length": manifest.tokenizer.max_length}
    if manifest.task == "embedding":
        told["dimension"] = manifest.model.dimension
    if isinstance(model.worker, Decoder):
        told["chat"] = model.worker.chats
    return told | ({"labels": manifest.labels} if manifest.labels else {})


def choose_model(every: Mapping[str, Served], name: str | None, task: Task) -> Served:
    """Return the model that is named, or the only one of the task."""
    if name is not None:
        found = every.get(name)
        if found is None:
            raise _no_model(name, every)
        if found.manifest.task != task:
            raise RequestError(400, f"the model {name!r} is for {found.manifest.task}, not for {task}", param="model")
        return found
    able = [model for model in every.values() if model.manifest.task == task]
    if len(able) == 1:
        return able[0]
    if not able:
        raise RequestError(404, f"no model is served for {task}", param="model", code="model_not_found")
    raise RequestError(400, f"name the model: {', '.join(model.name for model in able)}", param="model")


def _no_model(name: str, every: Mapping[str, Served]) -> RequestError:
    what = f"there is no model {name[:100]!r}; there are: {', '.join(every)}"
    return RequestError(404, what, param="model", code="model_not_found")


def _texts(fields: Fields, limits: Limits) -> Sequence[Text]:
    return fields.texts("texts", limits)


def _pairs(fields: Fields, limits: Limits) -> Sequence[Text]:
    query = fields.required_text("query", limits)
    return [(query, text) for text in fields.texts("texts", limits)]


def _input(fields: Fields, limits: Limits) -> Sequence[Text]:
    return fields.texts("input", limits)


def _check_openai(fields: Fields, model: Served) -> None:
    fields.text("user")
    kind, dimension = fields.text("encoding_format"), model.manifest.model.dimension
    if kind not in (None, "float", "base64"):
        raise RequestError(
            400, f"'encoding_format' must be 'float' or 'base64', not {kind[:40]!r}", param="encoding_format"
        )
    if fields.count("dimensions") not in (None, dimension):
        raise RequestError(400, f"the model's vectors have {dimension} dimensions and are not cut", param="dimensions")


def _check_top_k(fields: Fields, _model: Served) -> None:
    fields.count("top_k")


def _check_top_n(fields: Fields, _model: Served) -> None:
    fields.count("top_n")


def _no_check(_fields: Fields, _model: Served) -> None:
    """Check nothing: the route has no field of its own."""


def _write_openai(asked: Asked, answer: Answer) -> Response:
    form = _base64 if asked.fields.text("encoding_format") == "base64" else _numbers
    rows = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{form(row)}}}'
        for index, row in enumerate(cast(list[FloatArray], answer.results))
    )
    usage = f'{{"prompt_tokens":{answer.tokens},"total_tokens":{answer.tokens}}}'
    body = f'{{"object":"list","data":[{rows}],"model":{_quote(asked.model.name)},"usage":{usage}}}'
    return Response(200, body.encode(), texts=len(asked.texts), tokens=answer.tokens)


def _write_embeddings(asked: Asked, answer: Answer) -> Response:
    return asked.response(answer, "embeddings", map(_numbers, cast(list[FloatArray], answer.results)))


def _write_labels(asked: Asked, answer: Answer) -> Response:
    top = asked.fields.count("top_k")
    rows = cast(list[list[Prediction]], answer.results)
    return asked.response(answer, "results", (_records(row[:top]) for row in rows))


def _write_ranks(asked: Asked, answer: Answer) -> Response:
    scores = cast(list[float], answer.results)
    best = falling(scores)[: asked.fields.count("top_n")]
    return asked.response(answer, "results", (_quote({"index": place, "score": scores[place]}) for place in best))


def _write_entities(asked: Asked, answer: Answer) -> Response:
    rows = cast(list[list[Entity]], answer.results)
    return asked.response(answer, "results", map(_records, rows))


def _numbers(row: FloatArray) -> str:
    """Return nine digits a number: each is read back as the same float32."""
    return "[" + ",".join([f"{value:.9g}" for value in row.tolist()]) + "]"


def _base64(row: FloatArray) -> str:
    """Return float32 in base64, little-endian as every target is."""
    return f'"{b64encode(row.tobytes()).decode()}"'


def _records(rows: Sequence[Prediction] | Sequence[Entity]) -> str:
    return _quote([asdict(row) for row in rows])


def _quote(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json(value: object) -> Response:
    return Response(200, _quote(value).encode())


OPENAI = Route(
    "embedding",
    frozenset({"input", "model", "encoding_format", "dimensions", "user"}),
    _input,
    _write_openai,
    _check_openai,
)
EMBED = Route("embedding", frozenset({"texts", "model", "windows"}), _texts, _write_embeddings, _no_check)
CLASSIFY = Route(
    "classification", frozenset({"texts", "model", "top_k", "windows"}), _texts, _write_labels, _check_top_k
)
RERANK = Route("reranking", frozenset({"query", "texts", "model", "top_n"}), _pairs, _write_ranks, _check_top_n)
TOKENS = Route("token-classification", frozenset({"texts", "model", "windows"}), _texts, _write_entities, _no_check)
