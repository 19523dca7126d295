"""One download for all tests of images: the user's own cache, or a skip that says why."""

import os
import shutil
import tarfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.runtime.tiny import Parts
from toolkit.errors import EdgequantError
from toolkit.image.building import Order, build_image
from toolkit.image.bundles import read_shipped
from toolkit.image.lock import Part, make_lock
from toolkit.image.platforms import AMD64, ARM64, PLATFORMS, Platform
from toolkit.image.rootfs import Sources, choose_parts, make_rootfs
from toolkit.image.store import Store
from toolkit.image.wheels import NAMES
from toolkit.runtime import cpu
from toolkit.runtime.manifest import TargetInfo

HERE = next((p for p in PLATFORMS.values() if p.target == cpu.architecture()), AMD64)


@pytest.fixture(scope="session")
def sources() -> Sources:
    """Return sources whose lock and cache hold every part of both platforms."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("images are built of Debian packages: no apt-get here")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgequant/image"
    found = Sources(cache)
    try:
        chosen = [choose_parts(platform, found, "generation") for platform in (AMD64, ARM64)]
    except EdgequantError as error:
        pytest.skip(f"the parts of an image cannot be downloaded: {error}")
    parts = make_lock(part for one in chosen for part in (*one.debs, *one.wheels))
    return replace(found, lock=replace(parts, where="the tests' lock"))


@pytest.fixture(scope="session")
def rootfs(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> dict[Platform, Path]:
    """Return a root filesystem of each platform."""
    made = {}
    for platform in (AMD64, ARM64):
        made[platform] = tmp_path_factory.mktemp(f"root-{platform.architecture}")
        make_rootfs(platform, sources, made[platform])
    return made


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    """Return an embedding bundle that verifies."""
    return Parts().write(tmp_path / "bundle")


def fake_base(path: Path) -> Path:
    """Write a root filesystem's tar with the names that the wheels ask for, and nothing that runs."""
    with tarfile.open(path, "w") as tar:
        for name in ("usr/bin/python3.11", *(f"usr/lib/{lib}" for lib in ("libc.so.6", "libstdc++.so.6"))):
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            tar.addfile(entry)
    return path


def fake_sources(cache: Path) -> Sources:
    """Return sources of tiny wheels under the real names, locked and in the cache."""
    parts = []
    for name in NAMES:
        cache.mkdir(exist_ok=True)
        wheel = cache / f"{name}-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for inside in (f"{name}/__init__.py", f"{name}/tests/x.py", f"{name}-1.dist-info/METADATA"):
                archive.writestr(zipfile.ZipInfo(inside), f"# {inside}\n")
        digest = Store(cache).put(wheel)
        parts += [
            Part("wheel", platform.architecture, name, "1", wheel.name, digest, "3.11") for platform in (AMD64, ARM64)
        ]
    return Sources(cache, replace(make_lock(parts), where="a lock of tiny wheels"))


@dataclass(frozen=True)
class Small:
    """An order of small images: a base that does not run, tiny wheels, a bundle for each platform."""

    folder: Path

    def order(self, **changes: object) -> Order:
        bundles = {}
        for platform in (AMD64, ARM64):
            folder = self.folder / platform.architecture
            if not folder.exists():
                target = TargetInfo(f"for-{platform.target}", platform.target, ())
                Parts(changes={"target": target}).write(folder)
            bundles[platform] = (read_shipped(folder),)
        base = self.folder / "base.tar"
        given = {
            "bundles": bundles,
            "sources": fake_sources(self.folder / "cache"),
            "name": "small:1",
            "base": base if base.exists() else fake_base(base),
        }
        return Order(**(given | changes))

    def build(self, name: str, **changes: object) -> Path:
        """Build the layout ``name`` and return its folder."""
        out = self.folder / name
        out.mkdir()
        build_image(self.order(**changes), out)
        return out


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return an order of small images in a folder of its own."""
    return Small(tmp_path)
