"""A base that the user names: an OCI image layout, or the tar of a root filesystem. It brings Python and libraries."""

import re
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UsageError
from toolkit.image.layers import Layer, Settings, write_layer
from toolkit.image.platforms import Platform
from toolkit.image.reading import open_layout
from toolkit.trust.unpack import unpack_layers

_PYTHONS = ("usr/local/bin", "usr/bin")


@dataclass(frozen=True)
class Base:
    """A base in place: its layers as they go into the image, and where its Python lies."""

    layers: tuple[Layer, ...]
    python: str  # path in the image
    version: str  # such as 3.11


def use_base(base: Path, platform: Platform, root: Path, blobs: Path, settings: Settings) -> Base:
    """Unpack a base into the new folder ``root`` and put its layers into ``blobs``, as they are where it has layers."""
    if base.is_dir() or _holds_layout(base):
        with open_layout(base) as layout:
            layers = layout.image(platform).layers
            unpack_layers([layout.blob(layer.digest) for layer in layers], root)
            for layer in layers:
                shutil.copyfile(layout.blob(layer.digest), blobs / layer.digest.removeprefix("sha256:"))
    else:
        unpack_layers([base], root)
        layers = (write_layer(root, root.rglob("*"), blobs, settings, f"base {base.name}"),)
    return Base(layers, *_python(root, base))


def _holds_layout(base: Path) -> bool:
    if not base.is_file():
        raise UsageError("there is no such base", where=base, expected="an OCI layout, or a root filesystem's tar")
    try:
        with tarfile.open(base) as tar:
            return any(entry.name.removeprefix("./") == "oci-layout" for entry in tar)
    except tarfile.TarError as error:
        raise UsageError("the base is no tar", where=base, got=error) from None


def _python(root: Path, base: Path) -> tuple[str, str]:
    found = [
        (int(match[1]), f"/{folder}/{path.name}")
        for folder in _PYTHONS
        for path in sorted((root / folder).glob("python3.*"))
        if (match := re.fullmatch(r"python3\.(\d+)", path.name))
    ]
    if not found:
        raise UsageError(
            "the base has no Python", where=base, expected=" or ".join(f"/{one}/python3.N" for one in _PYTHONS)
        )
    minor, path = max(found)
    return path, f"3.{minor}"
