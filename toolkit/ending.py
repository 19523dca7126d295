"""What a signal that ends a process does: it unwinds, so that what is half written goes away."""

import signal
import sys
from types import FrameType

TERMINATED = 143  # 128 + SIGTERM


def unwind_on_sigterm() -> None:
    """Let SIGTERM end this process as an exception does."""
    signal.signal(signal.SIGTERM, _end)


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(TERMINATED)
