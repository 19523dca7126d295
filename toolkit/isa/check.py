"""``verify --isa``: a bundle's own model on the kernels of its target, with the proof of which kernels ran."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from toolkit.errors import EdgequantError
from toolkit.isa.choose import SATURATING
from toolkit.isa.pair_bound import check_pair_bound
from toolkit.isa.place import TIMEOUT, How, Place, verify_there
from toolkit.isa.probe import Proof, prove
from toolkit.isa.sentences import Agreement, Reference, Sample, agreement, make_reference
from toolkit.isa.trace import check_instructions, traced
from toolkit.progress import Track, silent
from toolkit.runtime.bundle import AnyBundle, Bundle
from toolkit.runtime.tensor_manifest import AnyManifest
from toolkit.runtime.verification import Check

_CPU = "cpu"  # the device's check of /proc/cpuinfo, which here is the build machine's; the probes tell more


@dataclass(frozen=True)
class PlaceReport:
    """What one place showed."""

    isa: str
    how: How
    detail: str
    proof: Proof | None
    checks: tuple[Check, ...]
    agreement: Agreement | None = None  # of real sentences, where a sample was asked for


@dataclass(frozen=True)
class IsaReport:
    """What all places showed, and what holds of the model file itself."""

    bundle: str
    title: str
    checks: tuple[Check, ...]
    places: tuple[PlaceReport, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        every = [*self.checks, *(check for place in self.places for check in place.checks)]
        return all(check.ok for check in every)

    def as_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {"ok": self.ok, **asdict(self)}


def check_places(
    bundle: AnyBundle,
    places: Sequence[Place],
    threads: int,
    *,
    sample: Sample | None = None,
    timeout: float = TIMEOUT,
    track: Track = silent,
) -> IsaReport:
    """Prove each place's kernels and run the device's own verify there, and a sample of real sentences on request.

    EdgequantError where one cannot run at all.

    The pair bound is proven too, where a place, or the CPU the bundle is for, has kernels that saturate.
    """
    manifest = bundle.manifest
    title = f"{manifest.name} ({manifest.task}) for {manifest.target.name}"
    checks = (check_pair_bound(bundle.folder / manifest.model.file),) if _is_bounded(manifest, places) else ()
    with tempfile.TemporaryDirectory(prefix="edgequant-verify-") as folder:
        compared = None
        if sample and isinstance(bundle, Bundle):
            reference = make_reference(bundle, sample.candidates(), Path(folder))
            compared = (sample, reference, bundle.manifest.golden.min_cosine)
        shown = []
        for place in track(places, "verify on kernels", len(places)):
            found = _check(bundle, place, threads, timeout)
            shown.append(_with_sentences(found, place, *compared) if compared else found)
    return IsaReport(str(bundle.folder), title, checks, tuple(shown))


def _is_bounded(manifest: AnyManifest, places: Sequence[Place]) -> bool:
    """Return whether the pair bound must hold; it is none of the block-wise products of text generation."""
    target = manifest.target
    may_saturate = target.architecture == "x86_64" and "vnni" not in target.requires
    asked = may_saturate or any(_family(place) in SATURATING for place in places)
    return asked and manifest.task != "text-generation"


def _with_sentences(
    report: PlaceReport, place: Place, sample: Sample, reference: Reference, least: float
) -> PlaceReport:
    found, _ = agreement(place, reference, sample)
    return replace(report, agreement=found, checks=(*report.checks, *found.checks(least)))


def _check(bundle: AnyBundle, place: Place, threads: int, timeout: float) -> PlaceReport:
    proof, kernels = prove_place(place, timeout)
    report = verify_there(place, bundle.folder, threads=threads, timeout=timeout)
    theirs = [Check(str(item["name"]), item["ok"] is True, str(item["detail"])) for item in report["checks"]]
    kept = tuple(check for check in theirs if check.name != _CPU)
    return PlaceReport(place.isa, place.how, place.detail, proof, (*kernels, *kept))


def prove_place(place: Place, timeout: float = TIMEOUT) -> tuple[Proof | None, tuple[Check, ...]]:
    """Run the probes; under emulation, look too at which instructions they came to."""
    if place.how != "emulated":
        proof, kernels = prove_kernels(place, timeout)
        return proof, (kernels,)
    with traced(place) as (there, log):
        proof, kernels = prove_kernels(there, timeout)
        return proof, (kernels, check_instructions(log, place)) if proof else (kernels,)


def prove_kernels(place: Place, timeout: float = TIMEOUT) -> tuple[Proof | None, Check]:
    """Return what the probes show in a place, and whether that is what its kernels ought to compute."""
    try:
        proof = prove(place, timeout=timeout)
    except EdgequantError as error:
        return None, Check("kernels", False, str(error))
    expected = _family(place) in SATURATING
    kinds = {True: "kernels that saturate", False: "exact kernels"}
    wrong = "" if proof.saturates == expected else f"; {_family(place)} has {kinds[expected]}: these are others"
    return proof, Check("kernels", not wrong, f"{proof}{wrong}")


def _family(place: Place) -> str:
    return place.family or place.isa
