"""From a request to its answer: routes, who may ask, what is told, logged and counted."""

from collections.abc import Mapping, Sequence

from toolkit.runtime.server import endpoints, generating
from toolkit.runtime.server.endpoints import Route, Served
from toolkit.runtime.server.errors import RequestError
from toolkit.runtime.server.generating import TextRoute
from toolkit.runtime.server.limits import Limits
from toolkit.runtime.server.log import log
from toolkit.runtime.server.messages import JSON, Gone, Head, Response, Stream
from toolkit.runtime.server.metrics import CONTENT_TYPE, Metrics

_MODELS = "/v1/models"
_REFUSALS = {429: "busy", 503: "waited too long", 504: "ran too long"}
_OPEN = ("/health", "/ready")
"""Asked by whoever watches over the process, without a token: they tell nothing of anybody."""


class Application:
    """The server's models behind their routes; ``token`` is the bearer token that all but health checks must have."""

    def __init__(self, models: Sequence[Served], limits: Limits, metrics: Metrics, token: bytes | None) -> None:
        self.models: Mapping[str, Served] = {model.name: model for model in models}
        self.limits = limits
        self.metrics = metrics
        self.draining = False
        self._token = token

    def check(self, head: Head) -> None:
        """Raise the RequestError of a request that is refused before its body is read."""
        name = _route_name(head.path)
        if name not in _OPEN:
            self._check_token(head)
        if name == "other":
            raise RequestError(404, f"there is no such route; there are: {', '.join(sorted((*_POST, *_GET)))}")
        methods = ("POST",) if name in _POST else ("GET", "HEAD")
        if head.method not in methods:
            error = RequestError(405, f"{name} takes {' and '.join(methods)}")
            raise error.with_header("Allow", ", ".join(methods))
        if name in _POST:
            _check_type(head)

    async def answer(self, head: Head, body: bytes, gone: Gone) -> Response | Stream:
        """Return the answer of a checked request; RequestError where it is none, ConnectionError for a client gone."""
        try:
            name = _route_name(head.path)
            if name in _POST:
                return await _POST[name].answer(self.models, body, self.limits, gone)
            return self._get(name, head.path)
        except (RequestError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - the edge: a client is told no more than the request's id
            log("error", "failed", {"id": head.id, "error": f"{type(error).__name__}: {error}"})
            raise RequestError(500, f"the request failed; the server's log has it under {head.id}") from None

    def sent(self, head: Head | None, response: Response | Stream, seconds: float) -> None:
        """Count and log an answer."""
        route = _route_name(head.path) if head else "none"
        self.metrics.answered(route, response.status, seconds)
        if route in _POST and response.status in _REFUSALS:
            self.metrics.refused(_REFUSALS[response.status])
        if route in _OPEN and response.status == 200:
            return  # asked every few seconds, day and night
        values = {"status": response.status, "ms": round(seconds * 1000, 2), "bytes": response.size}
        who = {"id": head.id, "method": head.method} if head else {}
        log("info", "request", {**who, "route": route, **values, "texts": response.texts, "tokens": response.tokens})

    def _get(self, name: str, path: str) -> Response:
        if name == "/metrics":
            return Response(200, self.metrics.page(), CONTENT_TYPE)
        if name == "/health":
            return Response(200, b'{"status": "ok"}')
        if name == "/ready":
            return self._ready()
        return endpoints.models(self.models, path.removeprefix(_MODELS))

    def _ready(self) -> Response:
        if self.draining:
            raise RequestError(503, "the server is about to stop")
        dead = [model.name for model in self.models.values() if not model.worker.alive]
        if dead:
            raise RequestError(503, f"a model has stopped: {', '.join(dead)}")
        return Response(200, b'{"status": "ready"}')

    def _check_token(self, head: Head) -> None:
        if self._token is None:
            return
        from hmac import compare_digest  # noqa: PLC0415 - it loads OpenSSL

        scheme, _, given = head.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(given.strip().encode("latin-1"), self._token):
            error = RequestError(
                401, "a valid bearer token is needed: Authorization: Bearer TOKEN", code="invalid_api_key"
            )
            raise error.with_header("WWW-Authenticate", "Bearer")


_POST: Mapping[str, Route | TextRoute] = {
    "/v1/embeddings": endpoints.OPENAI,
    "/embed": endpoints.EMBED,
    "/classify": endpoints.CLASSIFY,
    "/rerank": endpoints.RERANK,
    "/tokens": endpoints.TOKENS,
    "/v1/completions": generating.COMPLETIONS,
    "/v1/chat/completions": generating.CHAT,
}
_GET = (_MODELS, "/health", "/ready", "/metrics")


def _route_name(path: str) -> str:
    """Return the route of a path: one of few words, for a metric's label and for logs that hold no user's text."""
    if path in _POST or path in _GET:
        return path
    return _MODELS if path.startswith(f"{_MODELS}/") else "other"


def _check_type(head: Head) -> None:
    kind, _, parameters = head.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != JSON or charset not in ("", "utf-8", "utf8"):
        raise RequestError(415, f"the body must be {JSON} in UTF-8: send Content-Type: {JSON}")
    if head.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(415, "the body must not be compressed")
