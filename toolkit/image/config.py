"""How an image starts: user, environment, program, health check, labels."""

from collections.abc import Mapping, Sequence

import toolkit
from toolkit.image.bundles import FOLDER, Shipped
from toolkit.image.rootfs import LIBRARY, USER

PORT = 8080
_SECOND = 1_000_000_000  # docker counts nanoseconds
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HOME": "/tmp",  # noqa: S108 - in the image
    "ORT_DISABLE_TELEMETRY": "1",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": f"/{LIBRARY}",
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_OFFLINE": "1",
}
_LABEL = "org.opencontainers.image."


def image_config(shipped: Sequence[Shipped], python: str, labels: Mapping[str, str], created: str) -> dict[str, object]:
    """Return the ``config`` object of one platform's image; ``python`` is the interpreter's path in it.

    ``Healthcheck`` is docker's, which OCI's specification does not have and lets stand.
    """
    runtime = [python, "-m", "toolkit.runtime"]
    return {
        "User": f"{USER}:{USER}",
        "Env": [f"{name}={value}" for name, value in sorted(ENVIRONMENT.items())],
        "Entrypoint": runtime,
        "Cmd": ["serve", f"/{FOLDER}", "--host", "0.0.0.0", "--port", str(PORT)],  # noqa: S104 - in a container
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "Healthcheck": {
            "Test": ["CMD", *runtime, "health"],
            "Interval": 30 * _SECOND,
            "Timeout": 5 * _SECOND,
            "StartPeriod": 10 * _SECOND,
            "Retries": 3,
        },
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
        "Labels": _labels(shipped, created) | dict(labels),
    }


def _labels(shipped: Sequence[Shipped], created: str) -> dict[str, str]:
    manifests = [one.bundle.manifest for one in shipped]
    return {
        f"{_LABEL}title": ", ".join(sorted({manifest.name for manifest in manifests})),
        f"{_LABEL}description": "; ".join(f"{one.name}: {one.task} for {one.target.name}" for one in manifests),
        f"{_LABEL}created": created,
        f"{_LABEL}version": toolkit.__version__,
    }
