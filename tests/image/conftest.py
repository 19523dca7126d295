"""One download for all tests of images: the user's own cache, or a skip that says why."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runtime.tiny import Parts
from toolkit.errors import EdgequantError
from toolkit.image.lock import make_lock
from toolkit.image.platforms import AMD64, ARM64, PLATFORMS, Platform
from toolkit.image.rootfs import Sources, choose_parts, make_rootfs
from toolkit.runtime import cpu

HERE = next((p for p in PLATFORMS.values() if p.target == cpu.architecture()), AMD64)


@pytest.fixture(scope="session")
def sources() -> Sources:
    """Return sources whose lock and cache hold every part of both platforms."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("images are built of Debian packages: no apt-get here")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgequant/image"
    found = Sources(cache)
    try:
        chosen = [choose_parts(platform, found) for platform in (AMD64, ARM64)]
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
