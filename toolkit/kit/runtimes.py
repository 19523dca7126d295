"""The runtime that goes into a kit: a whole root filesystem, or the wheels alone for a host that has Python."""

import tempfile
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.image.building import make_compiler
from toolkit.image.platforms import PLATFORMS, Platform
from toolkit.image.rootfs import Sources, choose_wheels, make_rootfs, make_runtime
from toolkit.image.wheels import Kind
from toolkit.kit.kit import Runtime


def whole_runtime(architecture: str, sources: Sources, tree: Path, kind: Kind = "standard") -> Runtime:
    """Fill the empty folder ``tree`` with Python and all that it needs."""
    parts = make_rootfs(_platform(architecture), sources, tree, kind)
    with tempfile.TemporaryDirectory(prefix="edgequant-kit-") as folder:
        compiler = make_compiler(parts, sources, Path(folder) / "compiler")
        if compiler:
            compiler.compile(tree)
    return Runtime(tree, architecture)


def wheels_runtime(architecture: str, sources: Sources, tree: Path, python: str, kind: Kind = "standard") -> Runtime:
    """Fill the empty folder ``tree`` with what a host with Python ``python``, such as 3.11, needs beside it."""
    platform = _platform(architecture)
    make_runtime(choose_wheels(platform, python, kind, sources), sources.store, tree, kind)
    return Runtime(tree, architecture, python)


def _platform(architecture: str) -> Platform:
    for platform in PLATFORMS.values():
        if platform.target == architecture:
            return platform
    raise UsageError("there is no runtime for this architecture", got=architecture)
