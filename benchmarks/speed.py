"""Time and judge fp32, onnxruntime's dynamic int8 and edgequant's int8 on this CPU.

usage: speed.py [--fp32 MODEL.onnx] [--target TARGET]... [--json]

all-MiniLM-L6-v2. fp32 is the graph that edgequant builds, or the export that is given (pooling is put behind it, as
edgequant does for every ONNX file); dynamic int8 is made of the same graph. One thread, CPU time, all variants
interleaved in one run; a ratio is the median of the rounds' ratios. fp32 and dynamic are timed with onnxruntime's
default settings and with those of edgequant's recipes, which leave out two slow fusions.
"""

import argparse
import hashlib
import logging
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import onnx
import onnx_ir as ir
from onnxruntime.quantization import quantize_dynamic

from toolkit import gate, speed
from toolkit import quantize as job
from toolkit.cli import terminal
from toolkit.cli.doctor import diagnose
from toolkit.metrics import Float
from toolkit.runtime.manifest import ModelInfo, SessionInfo
from toolkit.runtime.session import Session
from toolkit.samples import Samples, load_samples
from toolkit.sources import DEMO_NAME, Pooling, Source, SourceOptions, demo_model, open_source
from toolkit.subjects import source_subject
from toolkit.targets import load_recipe

ALIKE = ("cosine_mean", "cosine_p1", "cosine_min")
ORT_DEFAULTS = SessionInfo(allow_spinning=True)


@dataclass(frozen=True)
class Variant:
    """A model as it is timed, and what the gate measures of it."""

    name: str
    model: bytes
    session: SessionInfo
    spearman: float
    cosines: tuple[float, ...]  # mean, p1, min


@dataclass(frozen=True)
class Row:
    """A variant's figures: CPU ms a run and speed-ups, each at speed.SHAPES."""

    name: str
    bytes: int
    sha256: str
    ms: tuple[float, ...]
    over_fp32: tuple[float, ...]
    over_dynamic: tuple[float, ...]
    spearman: float
    cosines: tuple[float, ...]


def main() -> int:
    """Make the variants, time and judge them, and print."""
    parser = argparse.ArgumentParser(description="time fp32, dynamic int8 and edgequant's int8 on this CPU")
    parser.add_argument("--fp32", type=Path, metavar="MODEL.onnx", help="optimum's export (default: the built graph)")
    parser.add_argument("--target", action="append", metavar="TARGET", help="default: those that run on this CPU")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # quantize_dynamic advises a pre-processing that fails on this model
    here = [name for name, lacking in diagnose().lacking.items() if not lacking]
    built = open_source(str(demo_model()), SourceOptions(name=DEMO_NAME))
    fp32 = built if args.fp32 is None else open_source(str(args.fp32), _as_demo(built))
    variants, info = make(built, fp32, args.target or here)
    rows = measure(variants, info)
    if args.json:
        terminal.print_json({"conditions": conditions(built, fp32), "rows": [asdict(row) for row in rows]})
    else:
        show(rows, conditions(built, fp32))
    return 0


def make(built: Source, fp32: Source, targets: Sequence[str]) -> tuple[list[Variant], ModelInfo]:
    """Return the variants, fp32 first, then dynamic, and what all models have in common."""
    calibration, evaluation = load_samples("stsb", "calibration"), load_samples("stsb", "evaluation")
    jobs = [
        job.quantize(job.Job(built, load_recipe(target), calibration, evaluation), terminal.track) for target in targets
    ]
    info, settings = jobs[0].info, jobs[0].content.recipe.runtime.session_info()
    models = {"fp32": ir.to_proto(fp32.model).SerializeToString()}
    models["dynamic"] = dynamic(models["fp32"])
    reference = outputs(fp32, models["fp32"], evaluation)
    variants = []
    for name, model in models.items():
        found = outputs(fp32, model, evaluation)
        files = gate.file_info(models["fp32"]), gate.file_info(model)
        report = gate.judge(fp32, gate.Evidence(evaluation, (reference, found), files), {}, gate.Rules())
        variants.append(_variant(name, model, ORT_DEFAULTS, report))
        variants.append(_variant(f"{name}, edgequant's settings", model, settings, report))
    for made in jobs:
        name = f"edgequant {made.job.recipe.name}"
        session = made.content.recipe.runtime.session_info()
        variants.append(_variant(name, made.content.model, session, made.report))
    return variants, info


def dynamic(model: bytes) -> bytes:
    """Return what onnxruntime's quantize_dynamic makes of a model, one scale per column of weights."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "dynamic.onnx"
        quantize_dynamic(onnx.load_from_string(model), out, per_channel=True)
        return out.read_bytes()


def outputs(source: Source, model: bytes, samples: Samples) -> Float:
    """Return a model's embeddings of the texts of a set [texts, dimension]."""
    runner = source_subject(source, model).loaded(None)
    return gate.run(runner, gate.reading_of(source, samples), "evaluate", terminal.track)


def measure(variants: Sequence[Variant], info: ModelInfo) -> list[Row]:
    """Time the variants, interleaved, at every shape."""
    sessions = [Session(variant.model, info, variant.session, 1) for variant in variants]
    tracked = terminal.track(speed.SHAPES, "time", len(speed.SHAPES))
    timed = [speed.rounds(sessions, info.inputs, shape) for shape in tracked]
    return [
        Row(
            name=variant.name,
            bytes=len(variant.model),
            sha256=hashlib.sha256(variant.model).hexdigest(),
            ms=tuple(1000 * statistics.median(each[index] for each in rounds) for rounds in timed),
            over_fp32=tuple(_median_ratio(rounds, 0, index) for rounds in timed),
            over_dynamic=tuple(_median_ratio(rounds, 2, index) for rounds in timed),
            spearman=variant.spearman,
            cosines=variant.cosines,
        )
        for index, variant in enumerate(variants)
    ]


def conditions(built: Source, fp32: Source) -> dict[str, str]:
    """Return what the figures hold for."""
    found = diagnose()
    graph = "built by edgequant" if fp32.built_by == "edgequant" else f"from an ONNX file, {fp32.digest[:12]}"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": f"{found.cpu} ({found.architecture}: {', '.join(found.features)})",
        "versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        "model": f"{DEMO_NAME}, sha256 {built.digest[:12]}; fp32 graph {graph}",
        "time": f"CPU time of one thread, medians of {speed.ROUNDS} interleaved rounds, (batch, tokens) = "
        + " ".join(f"({batch},{length})" for batch, length in speed.SHAPES),
        "accuracy": "STS-B test, 1,379 pairs: Spearman x100, cosine to fp32 of each text",
    }


def show(rows: Iterable[Row], known: dict[str, str]) -> None:
    """Print conditions and rows in Markdown."""
    for name, value in known.items():
        print(f"- {name}: {value}")
    print("\n| model | MB | ms | x fp32 | x dynamic | Spearman | cosine mean / p1 / min | sha256 |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        ms, over_fp32, over_dynamic = (
            " ".join(f"{value:.2f}" for value in values) for values in (row.ms, row.over_fp32, row.over_dynamic)
        )
        alike = " / ".join(f"{value:.4f}" for value in row.cosines)
        numbers = f"{row.bytes / 1e6:.1f} | {ms} | {over_fp32} | {over_dynamic} | {100 * row.spearman:.2f}"
        print(f"| {row.name} | {numbers} | {alike} | {row.sha256[:12]} |")


def _variant(name: str, model: bytes, session: SessionInfo, report: gate.GateReport) -> Variant:
    reached = {verdict.metric: verdict.int8 or 0.0 for verdict in report.verdicts}
    return Variant(name, model, session, reached["spearman"], tuple(reached[metric] for metric in ALIKE))


def _as_demo(built: Source) -> SourceOptions:
    """Return what the export of the transformer alone lacks of the sentence-transformers model."""
    pooling = next(mode for mode in get_args(Pooling) if mode == built.pooling)
    return SourceOptions(task="embedding", pooling=pooling, normalize=built.normalize, max_length=built.max_length)


def _median_ratio(rounds: Sequence[Sequence[float]], base: int, index: int) -> float:
    return statistics.median(each[base] / each[index] for each in rounds)


if __name__ == "__main__":
    sys.exit(main())
