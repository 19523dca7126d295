"""The OCI image layout: blobs by digest, a manifest for each platform, an index over them.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from toolkit.image.layers import Layer
from toolkit.image.platforms import Platform

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
REF = "org.opencontainers.image.ref.name"
NAME = "io.containerd.image.name"
LAYOUT = {"imageLayoutVersion": "1.0.0"}

Json = dict[str, object]


@dataclass(frozen=True)
class Image:
    """One platform's image: its layers, and the ``config`` object that says how it starts."""

    platform: Platform
    layers: tuple[Layer, ...]
    config: Mapping[str, object]


def blob_folder(layout: Path) -> Path:
    """Return where the blobs of a layout lie, made where it is missing."""
    folder = layout / "blobs/sha256"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def blob_path(digest: str) -> str:
    """Return a blob's path in a layout."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def write_layout(layout: Path, images: Sequence[Image], name: str, epoch: int) -> str:
    """Write manifests, index and marker beside the layers that lie there, and return the image's digest.

    Of one platform it is the manifest's digest, of several that of the index over them. ``name`` is NAME:TAG.
    """
    manifests = [_manifest(layout, image, epoch) for image in images]
    top = manifests[0] if len(manifests) == 1 else _blob(layout, INDEX_TYPE, _index(manifests))
    annotations = {REF: name.rpartition(":")[2], NAME: name}
    (layout / "index.json").write_bytes(to_json(_index([{**top, "annotations": annotations}])))
    (layout / "oci-layout").write_bytes(to_json(LAYOUT))
    return str(top["digest"])


def write_archive(layout: Path, out: Path) -> None:
    """Write a layout as one tar, sorted and without times.

    The image of one platform gets docker's own list of contents beside, so that a docker or podman that takes no
    OCI layout loads it too.
    """
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
        docker = _docker_list(layout)
        if docker:
            _add(tar, "manifest.json", io.BytesIO(docker), len(docker))
        for path in sorted(path for path in layout.rglob("*") if path.is_file()):
            with path.open("rb") as content:
                _add(tar, path.relative_to(layout).as_posix(), content, path.stat().st_size)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, content)


def _docker_list(layout: Path) -> bytes:
    top = json.loads((layout / "index.json").read_bytes())["manifests"][0]
    if top["mediaType"] != MANIFEST_TYPE:
        return b""
    manifest = json.loads((layout / blob_path(top["digest"])).read_bytes())
    config, *layers = (blob_path(one["digest"]) for one in (manifest["config"], *manifest["layers"]))
    return to_json([{"Config": config, "Layers": layers, "RepoTags": [top["annotations"][NAME]]}])


def to_json(value: object) -> bytes:
    """Return JSON whose bytes depend on the value alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def moment(epoch: int) -> str:
    """Return a time as RFC 3339 wants it."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _manifest(layout: Path, image: Image, epoch: int) -> Json:
    created = moment(epoch)
    platform = _platform(image.platform)
    config = _blob(
        layout,
        CONFIG_TYPE,
        {
            **platform,
            "created": created,
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]},
            "history": [{"created": created, "created_by": layer.created_by} for layer in image.layers],
        },
    )
    layers = [{"mediaType": one.media_type, "digest": one.digest, "size": one.size} for one in image.layers]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
    return {**_blob(layout, MANIFEST_TYPE, manifest), "platform": platform}


def _platform(platform: Platform) -> Json:
    variant: Json = {"variant": "v8"} if platform.architecture == "arm64" else {}
    return {"architecture": platform.architecture, "os": "linux", **variant}


def _index(manifests: Sequence[Json]) -> Json:
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(manifests)}


def _blob(layout: Path, media_type: str, value: object) -> Json:
    data = to_json(value)
    hexed = hashlib.sha256(data).hexdigest()
    (blob_folder(layout) / hexed).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{hexed}", "size": len(data)}
