"""all-MiniLM-L6-v2 from other exporters: int8 of each file beside int8 of the built graph; for exports.py."""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from export_models import Way, export, fused, halved

from toolkit import quantize as job
from toolkit import speed
from toolkit.cli import terminal
from toolkit.cli.doctor import diagnose
from toolkit.gate import GateReport
from toolkit.runtime.session import Session
from toolkit.samples import load_samples
from toolkit.sources import DEMO_NAME, Source, SourceOptions, demo_model, open_source
from toolkit.targets import load_recipe

WAYS = (
    Way("optimum", "eager", 13),
    Way("optimum", "eager", 18),
    Way("optimum", "sdpa", 18),
    Way("dynamo", "eager", 18),
    Way("dynamo", "sdpa", 20),
)
REPEATS = 3  # of speed.ROUNDS
ALIKE = ("cosine_mean", "cosine_p1", "cosine_min")


@dataclass(frozen=True)
class Row:
    """One int8 model: size, layers, accuracy, CPU ms at speed.SHAPES, and the median ratios to the built graph's."""

    name: str
    bytes: int
    linears: int
    spearman: float
    cosines: tuple[float, ...]
    ms: tuple[float, ...]
    of_built: tuple[float, ...]


def compare(*, as_json: bool) -> int:
    """Print a row for each; exit 1 if one is more than 5 % slower than the built graph's."""
    built = open_source(str(demo_model()), SourceOptions(name=DEMO_NAME))
    sources = {"edgequant": built}
    with tempfile.TemporaryDirectory() as out:
        protos = {f"{way.exporter} {way.attention} opset {way.opset}": export(demo_model(), way) for way in WAYS}
        plain = next(iter(protos.values()))
        protos |= {"the first, fused by onnxruntime": fused(plain, 12, 384), "the first, in float16": halved(plain)}
        for place, (name, proto) in enumerate(protos.items()):
            sources[name] = _opened(built, proto, Path(out) / str(place))
    rows = measure(sources)
    if as_json:
        terminal.print_json([asdict(row) for row in rows])
    else:
        show(rows)
    return int(any(ratio > 1.05 for row in rows for ratio in row.of_built))


def measure(sources: dict[str, Source]) -> list[Row]:
    """Quantize all, and time them interleaved."""
    target = diagnose().target or "x86-avx2"
    recipe = load_recipe(target)
    calibration, evaluation = load_samples("stsb", "calibration"), load_samples("stsb", "evaluation")
    made = {
        name: job.quantize(job.Job(source, recipe, calibration, evaluation, 1), terminal.track)
        for name, source in sources.items()
    }
    info = next(iter(made.values())).info
    sessions = [Session(each.content.model, each.info, recipe.runtime.session_info(), 1) for each in made.values()]
    timed = [
        [each for _ in range(REPEATS) for each in speed.rounds(sessions, info.inputs, shape)] for shape in speed.SHAPES
    ]
    return [
        Row(
            name=name,
            bytes=len(each.content.model),
            linears=sum(item.int8 is not None for item in each.content.plan.linears),
            spearman=_reached(each.report, ("spearman",))[0],
            cosines=_reached(each.report, ALIKE),
            ms=tuple(1000 * statistics.median(column[index] for column in rounds) for rounds in timed),
            of_built=tuple(statistics.median(column[index] / column[0] for column in rounds) for rounds in timed),
        )
        for index, (name, each) in enumerate(made.items())
    ]


def show(rows: Sequence[Row]) -> None:
    """Print in Markdown."""
    print("| int8 made of | MB | int8 layers | Spearman | cosine mean / p1 / min | CPU ms | time to edgequant's |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        cosines = " / ".join(f"{value:.4f}" for value in row.cosines)
        ms, ratios = " ".join(f"{value:.2f}" for value in row.ms), " ".join(f"{value:.3f}" for value in row.of_built)
        numbers = f"{row.bytes / 1e6:.1f} | {row.linears} | {100 * row.spearman:.2f} | {cosines}"
        print(f"| {row.name} | {numbers} | {ms} | {ratios} |")


def _opened(built: Source, proto: bytes, folder: Path) -> Source:
    folder.mkdir()
    (folder / "model.onnx").write_bytes(proto)
    (folder / "tokenizer.json").write_text(built.tokenizer_json, encoding="utf-8")
    options = SourceOptions(task="embedding", pooling="mean", normalize=built.normalize, max_length=built.max_length)
    return open_source(str(folder / "model.onnx"), options)


def _reached(report: GateReport, metrics: Sequence[str]) -> tuple[float, ...]:
    found = {verdict.metric: verdict.int8 or 0.0 for verdict in report.verdicts}
    return tuple(found[metric] for metric in metrics)
