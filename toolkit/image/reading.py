"""An image layout read back: nothing in it is believed before its digest and its size were looked at."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import ImageError, UsageError
from toolkit.image.inflating import Inflating
from toolkit.image.layers import Layer
from toolkit.image.layout import CONFIG_TYPE, INDEX_TYPE, LAYOUT, MANIFEST_TYPE, NAME, REF, blob_path
from toolkit.image.platforms import Platform
from toolkit.image.store import file_digest
from toolkit.trust.unpack import unpack_layers

_DOCKER = {
    "application/vnd.docker.distribution.manifest.list.v2+json": INDEX_TYPE,
    "application/vnd.docker.distribution.manifest.v2+json": MANIFEST_TYPE,
}
_JSON_BYTES = 4 << 20  # as registries limit manifests
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_ALTERED = "the image is altered or its copy incomplete: copy it again"


@dataclass(frozen=True)
class FoundImage:
    """One platform's image in a layout, its blobs and their digests looked at."""

    platform: str
    digest: str
    config: Mapping[str, Any]
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class OpenLayout:
    """A layout whose blobs are all what their digests say; ``digest`` is the image's, ``name`` its NAME:TAG."""

    folder: Path
    name: str
    digest: str
    images: tuple[FoundImage, ...]

    def blob(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self.folder / blob_path(digest)

    def image(self, platform: Platform | str | None) -> FoundImage:
        """Return the image of one platform, or the only one; UsageError where there is none or a choice to make."""
        wanted = platform.name if isinstance(platform, Platform) else platform
        found = [one for one in self.images if wanted in (None, one.platform)]
        if len(found) != 1:
            got = ", ".join(one.platform for one in self.images)
            raise UsageError("name the platform", where=self.folder, got=wanted or "none", expected=f"one of {got}")
        return found[0]


@contextmanager
def open_layout(path: Path) -> Iterator[OpenLayout]:
    """Open a layout's folder or its tar and check every digest and size in it; ImageError for anything else."""
    if path.is_dir():
        yield _checked(path)
        return
    if not path.is_file():
        raise UsageError("there is no such image", where=path, expected="an OCI layout's folder, or a .tar of one")
    with tempfile.TemporaryDirectory(prefix="edgequant-image-") as folder:
        unpack_layers([path], Path(folder) / "layout")
        yield _checked(Path(folder) / "layout")


def _checked(folder: Path) -> OpenLayout:
    if _json(folder / "oci-layout", "the marker of an OCI layout") != LAYOUT:
        raise ImageError("the folder is no OCI image layout of version 1.0.0", where=folder)
    index = _json(folder / "index.json", "the index")
    manifests = _rows(index, "manifests", folder / "index.json")
    if len(manifests) != 1:
        raise ImageError("the layout does not hold one image", where=folder, got=f"{len(manifests)} images")
    top = manifests[0]
    reader = _Reader(folder)
    images = tuple(reader.images(top))
    reader.refuse_strangers()
    annotations = top.get("annotations") or {}
    return OpenLayout(folder, str(annotations.get(NAME) or annotations.get(REF) or ""), str(top["digest"]), images)


class _Reader:
    """Goes through a layout by digests, and remembers which blobs it has seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: set[str] = set()
        self.diff_ids: dict[str, str] = {}

    def images(self, descriptor: Mapping[str, Any], depth: int = 0) -> Iterator[FoundImage]:
        kind = _DOCKER.get(str(descriptor.get("mediaType")), descriptor.get("mediaType"))
        path = self.blob(descriptor)
        if kind == MANIFEST_TYPE:
            yield self.image(descriptor, _json(path, "a manifest"))
        elif kind == INDEX_TYPE and depth == 0:
            for row in _rows(_json(path, "the index over platforms"), "manifests", path):
                yield from self.images(row, depth + 1)
        else:
            raise ImageError("the layout names something that is no image", where=self.folder, got=kind)

    def image(self, descriptor: Mapping[str, Any], manifest: Mapping[str, Any]) -> FoundImage:
        where = self.blob_path(descriptor)
        if (manifest.get("config") or {}).get("mediaType") != CONFIG_TYPE:
            raise ImageError("a manifest's config is of another type", where=where, expected=CONFIG_TYPE)
        config = _json(self.blob(manifest["config"]), "a config")
        rows = _rows(manifest, "layers", where)
        diff_ids = (config.get("rootfs") or {}).get("diff_ids")
        if not isinstance(diff_ids, list) or len(diff_ids) != len(rows):
            raise ImageError("the config lists other layers than the manifest", where=where)
        platform = f"{config.get('os')}/{config.get('architecture')}"
        said = descriptor.get("platform")
        if said and f"{said.get('os')}/{said.get('architecture')}" != platform:
            raise ImageError("the index gives an image another platform than its config", where=where, got=platform)
        layers = tuple(self.layer(row, diff_id) for row, diff_id in zip(rows, diff_ids, strict=True))
        return FoundImage(platform, descriptor["digest"], config, layers)

    def layer(self, row: Mapping[str, Any], diff_id: str) -> Layer:
        path, kind = self.blob(row), str(row.get("mediaType"))
        if path.name not in self.diff_ids:
            with path.open("rb") as raw:
                self.diff_ids[path.name] = Inflating(raw, kind, path).finish()
        if self.diff_ids[path.name] != diff_id:
            raise ImageError("a layer unpacks to something else than the config says", where=path, expected=diff_id)
        return Layer(kind, row["digest"], row["size"], diff_id, "")

    def blob(self, descriptor: Mapping[str, Any]) -> Path:
        """Return a blob's file after a look at its size and digest."""
        path, digest = self.blob_path(descriptor), descriptor["digest"]
        if digest not in self.seen:
            if not path.is_file() or path.is_symlink():
                raise ImageError("a blob is missing", where=path, hint=_ALTERED)
            if path.stat().st_size != descriptor.get("size"):
                got = f"{path.stat().st_size} bytes"
                raise ImageError("a blob has the wrong size", where=path, got=got, expected=descriptor.get("size"))
            if f"sha256:{file_digest(path)}" != digest:
                raise ImageError("a blob is not what its digest says", where=path, hint=_ALTERED)
            self.seen.add(digest)
        elif path.stat().st_size != descriptor.get("size"):
            raise ImageError("a blob has two sizes", where=path, got=descriptor.get("size"))
        return path

    def blob_path(self, descriptor: Mapping[str, Any]) -> Path:
        digest = descriptor.get("digest")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ImageError("a digest is not one of SHA-256", where=self.folder, got=digest)
        return self.folder / blob_path(digest)

    def refuse_strangers(self) -> None:
        known = {self.folder / blob_path(digest) for digest in self.seen}
        files = {path for path in (self.folder / "blobs").rglob("*") if not path.is_dir()}
        if files - known:
            raise ImageError("the layout holds a blob that no image names", where=min(files - known))


def _json(path: Path, what: str) -> dict[str, Any]:
    if not path.is_file() or path.stat().st_size > _JSON_BYTES:
        raise ImageError(f"{what} is missing or too large", where=path, hint="an OCI image layout is expected")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what} is not JSON", where=path, got=error, hint=_ALTERED) from None
    if not isinstance(found, dict):
        raise ImageError(f"{what} is no JSON object", where=path)
    return found


def _rows(found: Mapping[str, Any], key: str, where: Path) -> list[dict[str, Any]]:
    rows = found.get(key)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ImageError(f"{key} is no list of objects", where=where)
    return rows
