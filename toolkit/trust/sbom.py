"""Bills of materials in CycloneDX 1.6 JSON, without times: https://cyclonedx.org/docs/1.6/json/."""

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import toolkit

SBOM = "sbom.cdx.json"

Kind = Literal["machine-learning-model", "data", "file", "library", "container"]


@dataclass(frozen=True)
class Component:
    """One part: ``sha256`` in hex, ``purl`` a package URL, ``licence`` as its maker spells it; empty where unknown.

    ``build_only`` says that it made the thing and is not in it.
    """

    kind: Kind
    name: str
    version: str = ""
    sha256: str = ""
    licence: str = ""
    purl: str = ""
    source: str = ""
    build_only: bool = False
    made_from: str = ""  # sha256 of what it was converted from

    @property
    def ref(self) -> str:
        """Return what other parts of the document call it."""
        return self.purl or ":".join(filter(None, (self.kind, self.name, self.sha256[:12])))


def pypi(name: str, version: str, *, build_only: bool = False, sha256: str = "") -> Component:
    """Return a Python package."""
    return Component("library", name, version, sha256, purl=f"pkg:pypi/{name}@{version}", build_only=build_only)


def sbom(subject: Component, parts: Sequence[Component]) -> bytes:
    """Return the document of one thing and its parts; its serial number follows from its content."""
    tool = {"type": "application", "name": "edgequant", "version": toolkit.__version__}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}, "component": _component(subject)},
        "components": [_component(part) for part in parts],
        "dependencies": [
            {"ref": subject.ref, "dependsOn": [part.ref for part in parts if not part.build_only]},
            *({"ref": part.ref} for part in parts),
        ],
    }
    digest = hashlib.sha256(_json(document)).hexdigest()
    return _json(document | {"serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, digest).urn})


def _component(part: Component) -> dict[str, object]:
    return {"type": part.kind, "bom-ref": part.ref, "name": part.name, **dict(_details(part))}


def _details(part: Component) -> Iterator[tuple[str, object]]:
    if part.version:
        yield "version", part.version
    if part.build_only:
        yield "scope", "excluded"
    if part.sha256:
        yield "hashes", _hashes(part.sha256)
    if part.licence:
        yield "licenses", [{"license": {"name": part.licence}}]
    if part.purl:
        yield "purl", part.purl
    if part.source:
        yield "description", part.source
    if part.made_from:
        above = {"type": part.kind, "name": f"{part.name} before quantization", "hashes": _hashes(part.made_from)}
        yield "pedigree", {"ancestors": [above]}


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _json(document: object) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
