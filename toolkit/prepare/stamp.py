"""What an artefact was made from, beside it: with the same stamp it is not made again."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import toolkit
from toolkit.atomic import whole_file
from toolkit.bundle import LIBRARIES
from toolkit.errors import EdgequantError
from toolkit.image.bundles import read_shipped
from toolkit.prepare.units import Unit
from toolkit.runtime.manifest import FILE_NAME
from toolkit.samples import Samples
from toolkit.sources.source import Source
from toolkit.targets import recipe_digest

Stamp = Mapping[str, object]
MADE = "made"  # the digest of what stands there


def unit_stamp(unit: Unit, source: Source, calibration: Samples, evaluation: Samples) -> dict[str, object]:
    """Return what a bundle depends on."""
    return {
        **unit_facts(unit, evaluation),
        "source": source.digest,
        "origin": source.origin,
        "calibration": data_facts(calibration),
        "name": source.name,
        "task": source.task,
        "pooling": source.pooling,
        "normalize": source.normalize,
        "max_length": source.max_length,
        "labels": list(source.labels),
        "tokenizer": hashlib.sha256(source.tokenizer_json.encode()).hexdigest(),
    }


def unit_facts(unit: Unit, evaluation: Samples) -> dict[str, object]:
    """Return what every bundle depends on beside its model."""
    judged = {"recipe": recipe_digest(unit.recipe), "decision": unit.decision, "evaluation": data_facts(evaluation)}
    return {**_tools(), **judged}


def data_facts(samples: Samples) -> list[object]:
    """Return what a bundle depends on of a set."""
    return [samples.name, samples.digest, len(samples.texts)]


def image_stamp(said: Stamp, bundles: Mapping[str, str], lock: Path | None) -> dict[str, object]:
    """Return what an image depends on: what the stack says of it, its bundles by name, and what it locks."""
    locked = None if lock is None else hashlib.sha256(lock.read_bytes()).hexdigest()
    return {**_tools(), **said, "bundles": dict(bundles), "lock": locked}


def stamp_path(artefact: Path) -> Path:
    """Return where the stamp of an artefact stands."""
    return artefact.with_name(f"{artefact.name}.stamp.json")


def write_stamp(artefact: Path, stamp: Stamp, made: str) -> None:
    """Write the stamp, after the artefact: what was stopped between the two is made again."""
    with whole_file(stamp_path(artefact)) as beside:
        beside.write_text(json.dumps({**stamp, MADE: made}, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def what_changed(artefact: Path, stamp: Stamp) -> str:
    """Return in a few words why an artefact is to be made; empty where it need not be, if it is whole."""
    old = _read(artefact)
    if not artefact.exists():
        return "not built yet"
    if old is None:
        return "what it was made from is not known"
    changed = sorted(key for key in {*old, *stamp} - {MADE} if old.get(key) != stamp.get(key))
    return f"changed: {', '.join(changed)}" if changed else ""


def made_digest(artefact: Path) -> str | None:
    """Return the digest of what stood there when the stamp was written; None without a stamp."""
    old = _read(artefact)
    return None if old is None else str(old.get(MADE))


def bundle_digest(bundle: Path) -> str:
    """Return the digest of a bundle: its manifest's, which names the digests of all other files."""
    return hashlib.sha256((bundle / FILE_NAME).read_bytes()).hexdigest()


def why_not_whole(bundle: Path) -> str:
    """Return what is wrong with a bundle since it was written; empty where every file is as it was."""
    try:
        read_shipped(bundle)
    except EdgequantError as error:
        return str(error).partition("\n")[0]
    return "" if bundle_digest(bundle) == made_digest(bundle) else "another bundle stands there"


def _read(artefact: Path) -> dict[str, object] | None:
    try:
        found = json.loads(stamp_path(artefact).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@cache
def _tools() -> Mapping[str, object]:
    """Return edgequant's version with the digest of its code, and the versions of its libraries."""
    package = Path(toolkit.__file__).parent
    code = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        code.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return {
        "edgequant": f"{toolkit.__version__}+{code.hexdigest()[:12]}",
        "libraries": {name: version(name) for name in LIBRARIES},
    }
