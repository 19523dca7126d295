"""An image's root filesystem as a server, on this CPU or on an emulated one, asked for a bundle's golden vectors."""

import http.client
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.image.config import ENVIRONMENT
from toolkit.image.platforms import Platform
from toolkit.isa import qemu
from toolkit.isa.cpu_models import CpuModel
from toolkit.isa.front import make_front


def native(root: Path, platform: Platform) -> list[str]:
    """Return the command of the root filesystem's Python on this machine, as root in a chroot of its own."""
    if os.geteuid() == 0:
        mounted = f'mount --bind /proc {root}/proc && exec chroot --userspec=65532:65532 {root} /usr/bin/python3 "$@"'
        return ["unshare", "--mount", "sh", "-c", mounted, "sh"]
    libraries = root / "usr/lib" / platform.triplet
    loader = next(libraries.glob("ld-linux*"))
    return [str(loader), "--library-path", str(libraries), str(root / "usr/bin/python3")]


def emulated(root: Path, model: CpuModel, cache: Path) -> list[str]:
    """Return the command of the root filesystem's Python on an emulated CPU."""
    front = make_front(root, model, cache)
    return [str(qemu.find(model).path), "-cpu", model.qemu, "-L", str(front), str(front / "usr/bin/python3")]


@contextmanager
def serving(python: list[str], root: Path, bundles: Path) -> Iterator[int]:
    """Start the server as the image's own environment says, and yield its port."""
    inside = any("chroot" in part for part in python)
    library = "/opt/edgequant" if inside else f"{root}/opt/edgequant"
    command = [*python, "-m", "toolkit.runtime", "serve", f"/{bundles.name}" if inside else str(bundles), "--port", "0"]
    env = ENVIRONMENT | {"PYTHONPATH": library, "PATH": os.environ["PATH"]}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield _port(process)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def _port(process: subprocess.Popen[str]) -> int:
    said = []
    for line in process.stderr or ():
        said.append(line)
        found = re.search(r'"event": "ready", "address": "http://[^"]*:(\d+)"', line)
        if found:
            return int(found[1])
    raise AssertionError("".join(said))


def check_golden(port: int, bundle: Path) -> None:
    """Ask ``/v1/embeddings`` for a bundle's golden texts: each vector within the manifest's limit of the golden one."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    golden = manifest["golden"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = json.dumps({"input": golden["texts"], "model": manifest["name"]})
    connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    assert response.status == 200, answer
    got = [row["embedding"] for row in json.loads(answer)["data"]]
    assert len(got) == len(golden["outputs"])
    worst = min(_cosine(a, b) for a, b in zip(got, golden["outputs"], strict=True))
    assert worst >= golden["min_cosine"], f"worst cosine {worst:.6f}"
    sys.stderr.write(f"worst cosine to the golden vectors {worst:.6f}\n")


def _cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
