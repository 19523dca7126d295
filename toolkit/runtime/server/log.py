"""Logs: one JSON object a line on stderr, without the text of anybody's request."""

import json
import sys
import time
from contextlib import suppress

Value = str | int | float | bool | None


def log(level: str, event: str, values: dict[str, Value] | None = None) -> None:
    """Write one line; a reader of stderr that has gone stops no server."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    line = json.dumps({"time": stamp, "level": level, "event": event, **(values or {})}, ensure_ascii=False)
    with suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
