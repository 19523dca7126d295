"""What is wrong with a request, in OpenAI's form: told to its sender, who sees no path and no other's text."""

import json

from toolkit.runtime.server.messages import Response

_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class RequestError(Exception):
    """An answer that is not the one asked for: a status, words, and the field of the request that they are about."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers: tuple[tuple[str, str], ...] = ()
        if retry_after:
            self.headers += (("Retry-After", str(retry_after)),)

    def with_header(self, name: str, value: str) -> "RequestError":
        """Return this error with a header more."""
        self.headers += ((name, value),)
        return self

    def response(self) -> Response:
        """Return what is sent: ``{"error": {"message": …, "type": …, "param": …, "code": …}}``."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return Response(self.status, json.dumps({"error": error}, ensure_ascii=False).encode(), headers=self.headers)
