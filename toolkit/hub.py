"""What the Hugging Face hub's client does without a network, whatever HTTP library its version stands on."""

import sys

TIMEOUT_S = 10.0
"""Of the first request, which is made once and not repeated, so that a host off the net hears so at once."""


def network_errors() -> tuple[type[Exception], ...]:
    """Return what the hub's client raises when the hub cannot be reached."""
    from huggingface_hub.errors import OfflineModeIsEnabled  # noqa: PLC0415 - comes with the extras

    libraries = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]  # requests: OSError
    return (OSError, OfflineModeIsEnabled, *(library.HTTPError for library in libraries))
