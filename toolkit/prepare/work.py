"""What a unit depends on, and how its bundle is made: an encoder's, or a causal language model's."""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from toolkit import quantize as job
from toolkit.causal import CausalJob, needs_calibration, quantize_causal, write_causal
from toolkit.errors import GateError
from toolkit.gate import GateReport
from toolkit.prepare.stamp import Stamp, data_facts, unit_facts, unit_stamp
from toolkit.prepare.units import Unit
from toolkit.progress import Track
from toolkit.samples import Samples, default_set, load_samples
from toolkit.samples.load import Role
from toolkit.sets import DataSet, calibration_set, evaluation_set
from toolkit.sources import is_causal, open_source
from toolkit.sources.causal import TASK, open_causal

Made = tuple[GateReport, GateError | None]
"""The gate's report, and its refusal where no bundle was written."""


@dataclass(frozen=True)
class Work:
    """What a bundle depends on, the model's task, and what makes the bundle."""

    stamp: Stamp
    task: str
    make: Callable[[Track], Made]


def work_of(unit: Unit) -> Work:
    """Return the work of a unit; raises what opening its model and sets raises."""
    return _causal(unit) if is_causal(unit.model, unit.options) else _encoder(unit)


def _encoder(unit: Unit) -> Work:
    source = open_source(unit.model, unit.options)
    evaluation = evaluation_set(unit.evaluation, source)
    calibration = calibration_set(unit.calibration, source, evaluation)
    order = job.Job(source, unit.recipe, calibration, evaluation, unit.threads, unit.decision)

    def make(track: Track) -> Made:
        made = job.quantize(order, track)
        return made.report, _refused(lambda: job.write(made, unit.out, replace=True))

    return Work(unit_stamp(unit, source, calibration, evaluation), source.task, make)


def _causal(unit: Unit) -> Work:
    """Return the work of a causal model, which is not opened yet: building its graph may take minutes."""
    evaluation = _samples(unit.evaluation, "evaluation")
    calibrated = needs_calibration(unit.recipe, unit.bits)
    calibration = _samples(unit.calibration, "calibration") if calibrated else None

    def make(track: Track) -> Made:
        with tempfile.TemporaryDirectory(prefix="edgequant-causal-") as folder:
            source, work = open_causal(unit.model, unit.options, Path(folder)), Path(folder) / "quantized"
            work.mkdir()
            order = CausalJob(
                source, unit.recipe, calibration, evaluation, work, unit.bits, unit.threads, unit.decision
            )
            made = quantize_causal(order, track)
            return made.report, _refused(lambda: write_causal(made, unit.out, replace=True))

    facts = {
        **unit_facts(unit, evaluation),
        "source": _files_digest(Path(unit.model)),
        "origin": unit.options.origin,
        "calibration": None if calibration is None else data_facts(calibration),
        "bits": unit.bits,
        "name": unit.options.name,
        "task": TASK,
        "max_length": unit.options.max_length,
        "tokenizer": None if unit.options.tokenizer is None else _files_digest(unit.options.tokenizer),
        "genai": _version("onnxruntime-genai"),
    }
    return Work(facts, TASK, make)


def _refused(write: Callable[[], object]) -> GateError | None:
    try:
        write()
    except GateError as error:
        return error
    return None


def _samples(wanted: DataSet, role: Role) -> Samples:
    return load_samples(wanted.spec or default_set(TASK), role, wanted.columns, wanted.limit)


def _files_digest(path: Path) -> str:
    """Return the digest of a file, or of all files in a folder by their names."""
    digest = hashlib.sha256()
    for one in [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file()):
        with one.open("rb") as handle:
            own = hashlib.file_digest(handle, "sha256").hexdigest()
        digest.update(f"{one.relative_to(path) if one != path else ''}\0{own}\0".encode())
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
