"""Cross-CPU parity: one bundle on every kernel that can be had here, each compared with each."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from toolkit.errors import EdgequantError
from toolkit.isa.check import prove_place
from toolkit.isa.place import How, Place
from toolkit.isa.probe import Proof
from toolkit.isa.sentences import Agreement, Array, Reference, Sample, agreement, cosine, make_reference
from toolkit.progress import Track, silent
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.verification import Check

HERE = "this machine"
Reached = Callable[[str], Sequence[Place]]


@dataclass(frozen=True)
class Row:
    """One place: what its probes showed, and how the sentences agree with this machine's."""

    name: str
    how: How
    detail: str
    proof: Proof | None
    checks: tuple[Check, ...]
    agreement: Agreement


@dataclass(frozen=True)
class ParityReport:
    """The places that could be had, why others could not, and each pair's worst cosine of a sentence.

    ``cosines`` [n, n] is in the order of ``names``, of which the first is this machine.
    """

    bundle: str
    title: str
    rows: tuple[Row, ...]
    unreached: dict[str, str]
    names: tuple[str, ...]
    cosines: tuple[tuple[float, ...], ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed, in at least one place."""
        return bool(self.rows) and all(check.ok for row in self.rows for check in row.checks)

    def as_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {"ok": self.ok, **asdict(self)}


def parity(
    bundle: Bundle, wanted: Sequence[str], reached: Reached, sample: Sample, track: Track = silent
) -> ParityReport:
    """Run the probes and a sample of sentences in every place of the names ``wanted`` that ``reached`` gives."""
    rows: dict[str, tuple[Row, tuple[Array, ...]]] = {}
    unreached: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="edgequant-parity-") as folder:
        reference = make_reference(bundle, sample.candidates(), Path(folder))
        for name in track(wanted, "run on every kernel", len(wanted)):
            try:
                found = reached(name)
            except EdgequantError as error:
                unreached[name] = str(error)
                continue
            for place in found:
                rows[str(place)] = _row(bundle, place, reference, sample)
    count = min((len(outputs) for _, outputs in rows.values()), default=0)
    outputs = [
        [reference.output(number) for number in range(count)],
        *(list(found[:count]) for _, found in rows.values()),
    ]
    matrix = tuple(tuple(_worst(one, other) for other in outputs) for one in outputs)
    manifest = bundle.manifest
    title = f"{manifest.name} ({manifest.task}) for {manifest.target.name}"
    made = tuple(row for row, _ in rows.values())
    return ParityReport(str(bundle.folder), title, made, unreached, (HERE, *(row.name for row in made)), matrix)


def _row(bundle: Bundle, place: Place, reference: Reference, sample: Sample) -> tuple[Row, tuple[Array, ...]]:
    proof, checks = prove_place(place)
    shown, outputs = agreement(place, reference, sample)
    checks = (*checks, *shown.checks(bundle.manifest.golden.min_cosine))
    return Row(str(place), place.how, place.detail, proof, checks, shown), outputs


def _worst(one: Sequence[Array], other: Sequence[Array]) -> float:
    return min((cosine(a, b) for a, b in zip(one, other, strict=True)), default=1.0)
