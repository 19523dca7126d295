"""What an image is made of, inside the image: a bill of materials and a statement of how it came about."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.image.bundles import Shipped
from toolkit.image.layers import Layer
from toolkit.image.lock import Part
from toolkit.image.platforms import Platform
from toolkit.image.store import file_digest
from toolkit.image.wheels import Kind
from toolkit.runtime.manifest import FILE_NAME
from toolkit.trust.provenance import PROVENANCE, Build, statement
from toolkit.trust.sbom import SBOM, Component, pypi, sbom

PLACE = Path("usr/share/edgequant")


@dataclass(frozen=True)
class Made:
    """One platform's image, all but the layer that tells about it."""

    name: str
    platform: Platform
    parts: Sequence[Part]
    bundles: Sequence[Shipped]
    layers: Sequence[Layer]
    kind: Kind


def write_about(made: Made, root: Path) -> None:
    """Write both documents below ``root``; the statement is about the image's other layers, uncompressed."""
    place = root / PLACE
    place.mkdir(parents=True)
    parts = [*map(_component, made.parts), *map(_bundle, made.bundles)]
    (place / SBOM).write_bytes(sbom(Component("container", made.name, source=made.platform.name), parts))
    asked = {"platform": made.platform.name, "runtime": made.kind, "bundles": [one.name for one in made.bundles]}
    named = {f"layer {i}: {layer.created_by}": layer for i, layer in enumerate(made.layers)}
    subjects = {name: layer.diff_id.removeprefix("sha256:") for name, layer in named.items()}
    (place / PROVENANCE).write_bytes(statement(subjects, Build("image", asked, parts)))


def _component(part: Part) -> Component:
    if part.kind == "wheel":
        return pypi(part.name, part.version, sha256=part.sha256)
    version = part.version.replace("+", "%2B").replace(":", "%3A")
    purl = f"pkg:deb/debian/{part.name}@{version}?arch={part.architecture}"
    return Component("library", part.name, part.version, part.sha256, purl=purl)


def _bundle(shipped: Shipped) -> Component:
    digest = file_digest(shipped.bundle.folder / FILE_NAME)
    return Component("machine-learning-model", shipped.name, sha256=digest, source="the digest is the manifest's")
