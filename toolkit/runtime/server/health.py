"""One GET by a plain socket: a health check that starts in no time and needs no curl."""

import socket
from urllib.parse import urlsplit

from toolkit.runtime.errors import EdgequantError, UsageError


def ask(url: str, timeout: float) -> int:
    """Return the status of ``http://HOST[:PORT][/PATH]``, by default of ``/ready``.

    EdgequantError where nobody answers in ``timeout`` seconds.
    """
    try:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 80)
    except ValueError as error:
        raise UsageError("the URL cannot be read", where=url, got=error) from None
    if parts.scheme != "http" or not address[0] or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError("the URL is of another kind", where=url, expected="http://HOST:PORT/PATH")
    request = f"GET {parts.path.rstrip('/') or '/ready'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(address, timeout) as connection:
            connection.sendall(request.encode())
            line = connection.makefile("rb").readline(256)
    except OSError as error:
        raise EdgequantError("nobody answers", where=url, got=error, hint="is the server running?") from None
    words = line.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise EdgequantError("the answer is not HTTP", where=url, got=repr(line[:60]))
    return int(words[1])
