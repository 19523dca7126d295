"""A kit that is small: the runtime's modules, beside the libraries that this Python already has."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import toolkit
from tests.runtime.tiny import DIMENSION, Parts
from toolkit.kit import Runtime, write_kit
from toolkit.runtime import cpu
from toolkit.runtime.manifest import Golden
from toolkit.trust.signing import generate, load_private, sign_bundle

SCRIPT = Path(toolkit.__file__).parent.parent / "deploy/edgequant-deploy.sh"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
WRONG = Golden(("the cat",), (), ((9.0,) * DIMENSION,), 0.9999, 1e-5)
LIBRARIES = ("h11", "numpy", "numpy.libs", "onnxruntime", "tokenizers")


def small_tree(tree: Path) -> Path:
    """Fill a folder with edgequant's runtime and links to this Python's libraries."""
    library = tree / "opt/edgequant"
    package = Path(toolkit.__file__).parent
    shutil.copytree(package / "runtime", library / "toolkit/runtime", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(package / "__init__.py", library / "toolkit/__init__.py")
    for name in LIBRARIES:
        found = importlib.util.find_spec(name.partition(".")[0])
        if not found:
            pytest.skip(f"{name} is not installed")
        path = Path(found.origin).parent.with_name(name)
        if path.exists():
            (library / name).symlink_to(path)
    return tree


def require_host() -> None:
    """Skip where the script cannot run."""
    for program in ("tar", "gzip", "sha256sum", "awk", "openssl"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        ["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.stdout.strip() != VERSION:
        pytest.skip(f"/usr/bin/python3 is {done.stdout.strip() or 'not there'}, the tests run on {VERSION}")


@dataclass(frozen=True)
class Made:
    """Keys, and signed kits: one and two are fine, unready does not serve, wrong fails its self-check."""

    folder: Path

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def public(self) -> Path:
        return self.folder / "key.pub"

    def kit(self, name: str) -> Path:
        return self.folder / f"{name}.tar.gz"


def make(folder: Path) -> Made:
    """Make them."""
    made = Made(folder)
    generate(made.key)
    runtime = Runtime(small_tree(folder / "tree"), cpu.architecture(), VERSION)
    mute = Runtime(small_tree(folder / "mute"), cpu.architecture(), VERSION)
    (mute.tree / "opt/edgequant/h11").unlink()  # it verifies, and cannot serve
    for name in ("one", "two", "unready", "wrong"):
        changes = {"name": name} | ({"golden": WRONG} if name == "wrong" else {})
        bundle = Parts(changes=changes).write(folder / name)
        key = load_private(made.key)
        if name != "two":
            sign_bundle(bundle, key)
        write_kit(made.kit(name), [bundle], mute if name == "unready" else runtime, key)
    return made


def deploy(*arguments: object, shell: tuple[str, ...] = ("sh",), **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script to its end."""
    command = [*shell, str(SCRIPT), *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, check=False, timeout=120)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
