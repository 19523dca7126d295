"""The routes that generate text, in OpenAI's two forms: told whole, or as server-sent events."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import cast

from toolkit.runtime.errors import UsageError
from toolkit.runtime.generation import Generation
from toolkit.runtime.generator import Message
from toolkit.runtime.sampling import Sampling
from toolkit.runtime.server.decoding import Decoder, Job, Wanted, flat
from toolkit.runtime.server.endpoints import Served, choose_model
from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.fields import Fields, read_fields
from toolkit.runtime.server.limits import Limits
from toolkit.runtime.server.messages import Gone, Response, Stream

Choice = dict[str, object]
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_COMMON = ("model", "stream", "stream_options", "temperature", "top_p", "top_k", "seed", "stop", "max_tokens", "user")
# What these ask for is not done; these values ask for nothing.
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "logprobs": (False, 0),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
}


@dataclass(frozen=True)
class Form:
    """How a route tells a text: its objects' names, the choice of a whole text, of a piece, and before the first."""

    kind: str
    piece_kind: str
    prefix: str
    whole: Callable[[str], Choice]
    piece: Callable[[str], Choice]
    opening: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class TextRoute:
    """A path's form, the fields of its own, how its prompt is read, and how many tokens it gives by default."""

    form: Form
    known: frozenset[str]
    prompt: Callable[[Fields, Limits], str | tuple[Message, ...]]
    tokens: int | None

    async def answer(self, models: Mapping[str, Served], body: bytes, limits: Limits, gone: Gone) -> Response | Stream:
        """Read, and generate: all of it, or what is sent as it comes, once the first piece is there."""
        fields = read_fields(body, self.known | {*_COMMON, *_NEUTRAL})
        fields.text("user")
        model = choose_model(models, fields.text("model"), "text-generation")
        wanted = Wanted(self.prompt(fields, limits), _sampling(fields, self.tokens))
        usage, streams = _wants_usage(fields), fields.flag("stream")
        visit = _Visit(cast(Decoder, model.worker).submit(wanted), gone)
        telling = _Telling(self.form, model.name, visit.job)
        try:
            if streams:
                pieces = visit.job.pieces()
                return Stream(telling.events(await anext(pieces), pieces, usage=usage), visit.end, telling.tokens)
            answer = await telling.whole()
        except BaseException:
            await visit.end()
            raise
        await visit.end()
        return answer


class _Visit:
    """A job, and a look at whether its client is still there: nothing is computed for one that has gone."""

    def __init__(self, job: Job, gone: Gone) -> None:
        self.job = job
        self._watch = asyncio.ensure_future(gone())
        self._watch.add_done_callback(lambda _watch: job.leave())

    async def end(self) -> None:
        self._watch.cancel()
        await asyncio.wait([self._watch])


class _Telling:
    """One text's answer in one form."""

    def __init__(self, form: Form, model: str, job: Job) -> None:
        self._form, self._job = form, job
        self._facts = {"created": int(time.time()), "model": model}
        self._id = form.prefix + os.urandom(12).hex()

    def tokens(self) -> int:
        """Return the tokens that were run until now."""
        found = self._job.generation
        return found.prompt_tokens + found.completion_tokens if found else 0

    async def whole(self) -> Response:
        """Return the whole answer, once it is there."""
        text, reason = "", None
        async for event in self._job.pieces():
            if isinstance(event, str):
                text += event
            else:
                reason = event.finish_reason
        choice = {"index": 0, **self._form.whole(text), "logprobs": None, "finish_reason": reason}
        value = {**self._object(self._form.kind, [choice]), "usage": self._usage()}
        return Response(200, _json(value), texts=1, tokens=self.tokens())

    async def events(
        self, first: str | Generation, others: AsyncIterator[str | Generation], *, usage: bool
    ) -> AsyncIterator[bytes]:
        """Yield the events of a text, an error among them where there is one, and ``[DONE]`` after a whole one."""
        for choice in self._form.opening:
            yield self._event(choice, None)
        try:
            async for event in _chain(first, others):
                if isinstance(event, str):
                    yield self._event(self._form.piece(event), None)
                else:
                    yield self._event(self._form.piece(""), event.finish_reason)
        except RequestError as error:
            yield b"data: " + error.response().body + b"\n\n"
            return
        if usage:
            yield _event({**self._object(self._form.piece_kind, []), "usage": self._usage()})
        yield b"data: [DONE]\n\n"

    def _event(self, choice: Choice, reason: str | None) -> bytes:
        told = {"index": 0, **choice, "logprobs": None, "finish_reason": reason}
        return _event(self._object(self._form.piece_kind, [told]))

    def _object(self, kind: str, choices: list[Choice]) -> dict[str, object]:
        return {"id": self._id, "object": kind, **self._facts, "choices": choices}

    def _usage(self) -> dict[str, int]:
        found = cast(Generation, self._job.generation)
        counts = {"prompt_tokens": found.prompt_tokens, "completion_tokens": found.completion_tokens}
        return {**counts, "total_tokens": sum(counts.values())}


async def _chain(first: str | Generation, others: AsyncIterator[str | Generation]) -> AsyncIterator[str | Generation]:
    yield first
    async for event in others:
        yield event


def _sampling(fields: Fields, tokens: int | None) -> Sampling:
    """Return how the tokens are chosen, by OpenAI's defaults; RequestError for what cannot be, or is not done."""
    for name, neutral in _NEUTRAL.items():
        value = fields.values.get(name)
        if value is not None and value not in neutral:
            raise RequestError(400, f"{name!r} is not done here: leave it out", param=name)
    temperature, top_p = fields.number("temperature"), fields.number("top_p")
    try:
        return Sampling(
            max_tokens=fields.count("max_completion_tokens") or fields.count("max_tokens") or tokens,
            temperature=1.0 if temperature is None else temperature,
            top_p=1.0 if top_p is None else top_p,
            top_k=fields.whole("top_k") or 0,
            seed=fields.whole("seed"),
            stop=tuple(fields.strings("stop")),
        )
    except UsageError as error:
        raise RequestError(400, flat(error), param=str(error).split(maxsplit=1)[0]) from None


def _wants_usage(fields: Fields) -> bool:
    options = fields.table("stream_options", frozenset({"include_usage"}))
    if options is None:
        return False
    if not fields.flag("stream"):
        raise RequestError(400, "'stream_options' are of a stream: send \"stream\": true", param="stream_options")
    return options.flag("include_usage")


def _prompt(fields: Fields, limits: Limits) -> str:
    prompts = fields.texts("prompt", limits)
    if len(prompts) > 1:
        raise RequestError(400, f"'prompt' has {len(prompts)} texts; send one a request", param="prompt")
    return prompts[0]


def _messages(fields: Fields, limits: Limits) -> tuple[Message, ...]:
    every = fields.tables("messages", frozenset({"role", "content", "name"}), limits.max_inputs)
    return tuple(Message(_role(one), _content(one, limits)) for one in every)


def _role(message: Fields) -> str:
    """Return who speaks, in the words of the templates of open models."""
    role = message.text("role") or ""
    if role not in _ROLES:
        raise message.refused("role", f"one of {', '.join(_ROLES)}")
    return _ROLES[role]


def _content(message: Fields, limits: Limits) -> str:
    """Return what is said: a string, or the text of all parts."""
    if not isinstance(message.required("content"), list):
        return message.required_text("content", limits)
    parts = message.tables("content", frozenset({"type", "text"}), limits.max_inputs)
    for part in parts:
        if part.text("type") != "text":
            raise part.refused("type", "'text'")
    return "".join(part.required_text("text", limits) for part in parts)


def _event(value: object) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _said(text: str) -> Choice:
    return {"message": {"role": "assistant", "content": text}}


def _more(text: str) -> Choice:
    return {"delta": {"content": text} if text else {}}


def _text(text: str) -> Choice:
    return {"text": text}


COMPLETIONS = TextRoute(
    Form("text_completion", "text_completion", "cmpl-", _text, _text),
    frozenset({"prompt"}),
    _prompt,
    16,  # as OpenAI has it
)
CHAT = TextRoute(
    Form(
        "chat.completion",
        "chat.completion.chunk",
        "chatcmpl-",
        _said,
        _more,
        ({"delta": {"role": "assistant", "content": ""}},),
    ),
    frozenset({"messages", "max_completion_tokens"}),
    _messages,
    None,
)
