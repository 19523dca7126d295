"""Wheels of the pinned runtime for any architecture: by pip as the host has set it up, or from a folder of wheels."""

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Literal

from toolkit.errors import EdgequantError, UsageError
from toolkit.image import tools
from toolkit.image.lock import Lock, Part
from toolkit.image.platforms import Platform
from toolkit.image.store import Store

ENGINE, NUMPY, GENAI = "onnxruntime", "numpy", "onnxruntime-genai"
NAMES = (NUMPY, ENGINE, GENAI, "tokenizers", "h11")
Kind = Literal["standard", "slim", "generation", "slim generation"]
"""What a runtime is for: encoders, or text generation too; slim is without numpy."""
_WITHOUT: Mapping[Kind, tuple[str, ...]] = {
    "standard": (GENAI,),
    "slim": (NUMPY, GENAI),
    "generation": (),
    "slim generation": (NUMPY,),
}
_HINT = "wheels are downloaded by pip as this host has set it up; --wheelhouse takes them from a folder"


def newest(platform: Platform, python: str, store: Store, wheelhouse: Path | None) -> tuple[Part, ...]:
    """Return the newest wheels that this edgequant's own requirements allow, all in the store."""
    wanted = [_requirement(name) for name in NAMES]
    return _download(wanted, platform, python, store, wheelhouse)


def names_of(kind: Kind) -> frozenset[str]:
    """Return which wheels a runtime is made of."""
    return frozenset(NAMES).difference(_WITHOUT[kind])


def locked(
    lock: Lock, platform: Platform, python: str, kind: Kind, store: Store, wheelhouse: Path | None
) -> tuple[Part, ...]:
    """Return the lock's wheels for a Python version, all in the store; EdgequantError for another digest."""
    named = names_of(kind)
    rows = lock.of("wheel", platform.architecture)
    parts = tuple(part for part in rows if part.python == python and part.name in named)
    missing = sorted(named - {part.name for part in parts})
    if missing:
        raise EdgequantError(
            f"the lock has no wheels for Python {python} on {platform.name}",
            where=lock.where,
            got=", ".join(part.name for part in parts) or "none",
            expected=", ".join(sorted(named)),
            hint="write a new lock: edgequant image lock",
        )
    lacking = [part for part in parts if store.get(part.sha256) is None]
    if lacking:
        wanted = [f"{part.name}=={part.version} --hash=sha256:{part.sha256}" for part in lacking]
        got = {part.sha256 for part in _download(wanted, platform, python, store, wheelhouse)}
        for part in lacking:
            if part.sha256 not in got:
                raise EdgequantError("another wheel came than the lock names", where=part.file, expected=part.sha256)
    return parts


def _download(
    wanted: Sequence[str], platform: Platform, python: str, store: Store, wheelhouse: Path | None
) -> tuple[Part, ...]:
    source = ["--no-index", "--find-links", str(wheelhouse.absolute())] if wheelhouse else []
    tags = [part for tag in platform.wheel_tags for part in ("--platform", tag)]
    with tempfile.TemporaryDirectory(prefix="edgequant-wheels-") as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("\n".join(wanted) + "\n", encoding="utf-8")
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
            "--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", python, *tags,
            *source, "--dest", folder, "--requirement", str(listed),
        ]  # fmt: skip
        tools.run(command, f"pip found no wheels for {platform.name}", hint=_HINT)
        return tuple(sorted(_part(path, platform, python, store) for path in Path(folder).glob("*.whl")))


def _part(path: Path, platform: Platform, python: str, store: Store) -> Part:
    name, version, *_ = path.name.split("-")
    return Part("wheel", platform.architecture, _normal(name), version, path.name, store.put(path), python)


def _requirement(name: str) -> str:
    """Return what this edgequant's own metadata asks for: its one home is pyproject.toml."""
    try:
        found = requires("edgequant") or []
    except PackageNotFoundError:
        raise UsageError("edgequant is not installed here", hint="pip install it, then build images") from None
    asked: Mapping[str, str] = {_normal(re.split(r"[^\w.-]", line)[0]): line.partition(";")[0] for line in found}
    return asked[name].strip()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
