"""How something was made: an in-toto statement with SLSA's provenance predicate, without times.

https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import toolkit
from toolkit.trust.sbom import Component

PROVENANCE = "provenance.intoto.json"


@dataclass(frozen=True)
class Build:
    """What was asked for (``external``), what followed from it (``internal``), and what it was made from."""

    kind: str
    external: Mapping[str, object]
    parts: Sequence[Component]
    internal: Mapping[str, object] = field(default_factory=dict)


def statement(subjects: Mapping[str, str], build: Build) -> bytes:
    """Return the statement about ``subjects``, names with their SHA-256 in hex."""
    said = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"urn:edgequant:{build.kind}:v1",
                "externalParameters": build.external,
                "internalParameters": build.internal,
                "resolvedDependencies": [_resource(part) for part in build.parts],
            },
            "runDetails": {"builder": {"id": "urn:edgequant", "version": {"edgequant": toolkit.__version__}}},
        },
    }
    return (json.dumps(said, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _resource(part: Component) -> dict[str, object]:
    found: dict[str, object] = {"name": part.name}
    if part.purl:
        found["uri"] = part.purl
    if part.sha256:
        found["digest"] = {"sha256": part.sha256}
    return found
