"""A kit: plain files only, each named in ``SHA256SUMS``, which may be signed; the same bytes every time."""

import gzip
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.archive import add, write_bundle_tar
from toolkit.atomic import whole_file
from toolkit.errors import UsageError
from toolkit.image.bundles import Shipped, read_shipped
from toolkit.image.store import file_digest
from toolkit.paths import data_folder
from toolkit.runtime.bundle import AnyBundle
from toolkit.runtime.signature import statement
from toolkit.trust.signing import sign

FORMAT = 1
SUMS = "SHA256SUMS"
_DEPLOY = ("edgequant-deploy.sh", "edgequant.service")
_DOCS = ("deploy.md", "trust.md")


@dataclass(frozen=True)
class Runtime:
    """What runs the bundles: a tree with ``opt/edgequant``, and Python too unless the host has ``host_python``.

    ``architecture`` is a manifest's word, ``host_python`` a version such as 3.11, or empty.
    """

    tree: Path
    architecture: str
    host_python: str = ""


def write_kit(out: Path, bundles: Sequence[Path], runtime: Runtime, key: Ed25519PrivateKey | None = None) -> str:
    """Write a ``.tar.gz`` and return the digest of its ``SHA256SUMS``, which names the release on a host.

    BundleError for a bundle that is not whole, UsageError for one of another architecture, or two of one name.
    """
    named = _named([read_shipped(bundle) for bundle in bundles], runtime)
    with tempfile.TemporaryDirectory(prefix=".edgequant-kit-", dir=out.parent) as made:
        folder = Path(made)
        (folder / "bundles").mkdir()
        for name, bundle in named.items():
            with (folder / "bundles" / f"{name}.tar").open("wb") as handle:
                write_bundle_tar(bundle.folder, handle)
        _write_tree(runtime.tree, folder / "runtime.tar")
        (folder / "kit.conf").write_text(_facts(runtime, list(named)), encoding="utf-8")
        _copy_data(folder)
        sums = "".join(f"{file_digest(folder / name)}  {name}\n" for name in _names(folder)).encode()
        (folder / SUMS).write_bytes(sums)
        if key:
            (folder / f"{SUMS}.sig").write_bytes(sign(statement("kit", sums), key))
        _pack(folder, out)
    return hashlib.sha256(sums).hexdigest()


def _named(bundles: Sequence[Shipped], runtime: Runtime) -> dict[str, AnyBundle]:
    found: dict[str, AnyBundle] = {}
    for one in bundles:
        folder, target = one.bundle.folder, one.bundle.manifest.target
        if target.architecture != runtime.architecture:
            got, expected = target.architecture, runtime.architecture
            raise UsageError("a kit is for one architecture", where=folder, got=got, expected=expected)
        if one.name in found:
            raise UsageError("two bundles of the kit have one name", where=folder, got=one.name)
        found[one.name] = one.bundle
    return found


def _facts(runtime: Runtime, names: Sequence[str]) -> str:
    """Return ``kit.conf``: what the script reads, a line each."""
    facts = {"format": str(FORMAT), "architecture": runtime.architecture, "bundles": " ".join(names)}
    if runtime.host_python:
        facts |= {"python": "none", "host_python": runtime.host_python}
    else:
        loaders = sorted(runtime.tree.glob("usr/lib/*/ld-linux*.so*"))
        if len(loaders) != 1:
            got = ", ".join(map(str, loaders)) or "none"
            raise UsageError("the runtime has not one program loader", where=runtime.tree, got=got)
        loader = loaders[0].relative_to(runtime.tree)
        facts |= {"python": "own", "loader": str(loader), "libraries": str(loader.parent)}
    return "".join(f"{name}={value}\n" for name, value in facts.items())


def _copy_data(folder: Path) -> None:
    for name in _DEPLOY:
        shutil.copyfile(data_folder("deploy") / name, folder / name)
    (folder / _DEPLOY[0]).chmod(0o755)
    (folder / "docs").mkdir()
    for name in _DOCS:
        shutil.copyfile(data_folder("docs") / name, folder / "docs" / name)


def _write_tree(tree: Path, out: Path) -> None:
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:  # which busybox reads, long names too
        for path in sorted(tree.rglob("*")):
            add(tar, path, str(path.relative_to(tree)))


def _pack(folder: Path, out: Path) -> None:
    """Write the outer archive: the sums first, so that trust is settled before the rest is looked at."""
    first = [name for name in (SUMS, f"{SUMS}.sig") if (folder / name).exists()]
    with (
        whole_file(out) as beside,
        beside.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in (*first, *(name for name in _names(folder) if name not in first)):
            add(tar, folder / name, name)


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
