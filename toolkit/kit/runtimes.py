"""The runtime that goes into a kit: a whole root filesystem, or the wheels alone for a host that has Python."""

from pathlib import Path

from toolkit.errors import UsageError
from toolkit.image import wheels
from toolkit.image.lock import SHIPPED, read_lock
from toolkit.image.platforms import PLATFORMS, Platform
from toolkit.image.rootfs import Parts, Sources, make_rootfs, make_runtime
from toolkit.kit.kit import Runtime


def whole_runtime(architecture: str, sources: Sources, tree: Path, *, slim: bool = False) -> Runtime:
    """Fill the empty folder ``tree`` with Python and all that it needs; ``slim`` leaves numpy out."""
    make_rootfs(_platform(architecture), sources, tree, slim=slim)
    return Runtime(tree, architecture)


def wheels_runtime(architecture: str, sources: Sources, tree: Path, python: str) -> Runtime:
    """Fill the empty folder ``tree`` with what a host with Python ``python``, such as 3.11, needs beside it."""
    platform = _platform(architecture)
    lock = sources.lock or read_lock(SHIPPED)
    parts = wheels.locked(lock, platform, python, sources.store, sources.wheelhouse)
    make_runtime(Parts(platform, python, (), parts), sources.store, tree)
    return Runtime(tree, architecture, python)


def _platform(architecture: str) -> Platform:
    for platform in PLATFORMS.values():
        if platform.target == architecture:
            return platform
    raise UsageError("there is no runtime for this architecture", got=architecture)
