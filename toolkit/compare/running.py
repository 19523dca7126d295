"""Every model opened in a process of its own, judged one after the other, and then timed in turn."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from toolkit.compare import measuring
from toolkit.compare.measuring import Subject
from toolkit.compare.remote import Remote, Runnable
from toolkit.compare.report import Row
from toolkit.errors import EdgequantError
from toolkit.isa.place import Place
from toolkit.metrics import Float
from toolkit.progress import Track, silent
from toolkit.runtime.errors import EngineError
from toolkit.samples import Samples
from toolkit.sources.source import Source
from toolkit.subjects import source_subject


@dataclass(frozen=True)
class Variant:
    """A row that is to be filled, and the model behind it."""

    row: Row
    source: Source
    runnable: Runnable
    python: Place
    timed: bool  # whether its time can be compared
    judged: bool = True  # else as the row before, whose model it is, set otherwise


@dataclass(frozen=True)
class Judging:
    """On what models are judged, and how long their texts may be."""

    samples: Samples
    max_length: int


def measure(first: Variant, rest: Sequence[Variant | Row], judging: Judging, track: Track) -> list[Row]:
    """Return the rows, filled; ``first`` is the float model, and what fails otherwise is a row that says so.

    EdgequantError if the float model does not run.
    """
    with ExitStack() as stack:
        try:
            subject = _opened(first, stack)
            reference = measuring.outputs(subject, judging.samples, silent)
        except EngineError as error:
            raise EdgequantError("the float model does not run", got=error) from None
        rows, subjects = [_judged(first.row, subject, judging, (reference, reference))], {0: subject}
        for item in track(rest, "evaluate", len(rest)):
            row = item if isinstance(item, Row) else item.row
            if isinstance(item, Variant):
                try:
                    subject = _opened(item, stack)
                    row = _filled(item, subject, judging, reference, rows[-1])
                    if item.timed:
                        subjects[len(rows)] = subject
                except (EngineError, EdgequantError) as error:
                    row = replace(row, status="failed", note=str(error))
            rows.append(row)
        found = measuring.paces(list(subjects.values()), judging.max_length, track) if first.timed else []
    for index, paces in zip(subjects, found, strict=False):
        rows[index] = replace(rows[index], paces=paces)
    return rows


def _opened(variant: Variant, stack: ExitStack) -> Subject:
    remote = stack.enter_context(Remote(variant.runnable, variant.python))
    return Subject(remote, variant.source, source_subject(variant.source).info)


def _filled(variant: Variant, subject: Subject, judging: Judging, reference: Float, before: Row) -> Row:
    if not variant.judged:
        return replace(variant.row, quality=before.quality)
    found = measuring.outputs(subject, judging.samples, silent)
    return _judged(variant.row, subject, judging, (reference, found))


def _judged(row: Row, subject: Subject, judging: Judging, both: tuple[Float, Float]) -> Row:
    quality = measuring.quality(subject, judging.samples, both)
    return replace(row, quality=quality, run_peak_bytes=subject.remote.peak_bytes())
