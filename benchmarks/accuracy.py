"""What int8 costs on real data: four fine-tuned models, and MiniLM on six sets of sentence pairs, for each x86 target.

usage: accuracy.py [--shared FOLDER] [--target TARGET]... [--only models|sts] [--json]

FOLDER (default: ../shared beside the checkout) holds ``models`` with assemble.py and ``data``; without it there is
nothing to measure. int8 runs on the target's own kernels, native or masked. The models' rows are those of `edgequant
compare` with its own engine alone: metric of the task, and CPU time over fp32 with onnxruntime's default settings.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from toolkit import gate
from toolkit import quantize as job
from toolkit.cli import terminal
from toolkit.cli.reach import reach
from toolkit.compare import Request, compare
from toolkit.compare.native import NativeOrder
from toolkit.isa.choose import places
from toolkit.report import words
from toolkit.samples import load_samples
from toolkit.sets import DataSet, calibration_set, evaluation_set
from toolkit.sources import DEMO_NAME, SourceOptions, demo_model, open_source
from toolkit.subjects import source_subject
from toolkit.targets import Recipe, load_recipe

SHARED = Path(__file__).resolve().parents[2] / "shared"
TARGETS = ("x86-vnni", "x86-avx2")
SEMEVAL = ("MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews")
CALIBRATION = 600
PARTS = ("train", "test")
ALIKE = ("cosine_mean", "cosine_p1", "cosine_min")


@dataclass(frozen=True)
class Row:
    """One model or set on one target's kernels; numbers by name."""

    what: str
    target: str
    kernels: str
    rows: str
    numbers: dict[str, float]
    speed: tuple[float, ...] = ()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what int8 costs on real data")
    parser.add_argument("--shared", type=Path, default=SHARED, metavar="FOLDER")
    parser.add_argument("--target", action="append", metavar="TARGET", help=f"default: {', '.join(TARGETS)}")
    parser.add_argument("--only", choices=("models", "sts"))
    parser.add_argument("--json", action="store_true", help="print as JSON")
    args = parser.parse_args()
    if not (args.shared / "models" / "assemble.py").is_file():
        print(f"nothing to measure: there is no {args.shared}/models", file=sys.stderr)
        return 2
    recipes = [load_recipe(name) for name in args.target or TARGETS]
    with tempfile.TemporaryDirectory(prefix="edgequant-accuracy-") as folder:
        rows = [] if args.only == "sts" else list(model_rows(args.shared, Path(folder), recipes))
        pairs = [] if args.only == "models" else list(sts_rows(args.shared, Path(folder), recipes))
    if args.json:
        terminal.print_json({"models": [asdict(row) for row in rows], "sts": [asdict(row) for row in pairs]})
    else:
        print("\n".join([*table(rows), "", *table(pairs)]))
    return 0


def model_rows(shared: Path, folder: Path, recipes: Sequence[Recipe]) -> Iterator[Row]:
    """Yield the fine-tuned models' rows, each assembled and quantized on data that it was not tuned on."""
    for name, (calibration, evaluation) in model_sets(shared / "data", folder).items():
        assemble = [shared / "models" / "assemble.py", name, folder / name, "--base", demo_model()]
        subprocess.run([sys.executable, *map(str, assemble)], check=True, stdout=subprocess.DEVNULL)
        for recipe in recipes:
            yield model_row(NativeOrder(str(folder / name), SourceOptions(), recipe, calibration, evaluation, None))


def model_sets(data: Path, folder: Path) -> dict[str, tuple[DataSet, DataSet]]:
    """Return each model's calibration and evaluation set; an empty one is the shipped set of the task."""
    emotion, sst2 = (
        {part: folder / f"{name}-{part}.csv" for part in ("train", "test")} for name in ("emotion", "sst2")
    )
    for part in PARTS:
        texts, labels = (lines(data / "tweeteval/emotion" / f"{part}_{kind}.txt") for kind in ("text", "labels"))
        write(emotion[part], ("text", "label"), zip(texts, labels, strict=True))
        write(sst2[part], ("text", "label"), (line.rsplit("\t", 1) for line in lines(data / f"sst2/sentiment-{part}")))
    emotions, sentences = (
        (DataSet(str(one["train"]), None, CALIBRATION), DataSet(str(one["test"]))) for one in (emotion, sst2)
    )
    shipped = DataSet(), DataSet()
    return {
        "minilm-emotion": emotions,
        "roberta-sst2": sentences,
        "minilm-stsb-cross": shipped,
        "minilm-wnut-ner": shipped,
    }


def model_row(order: NativeOrder) -> Row:
    """Quantize one model and compare it with fp32 on its target's kernels."""
    source = open_source(order.model, order.options)
    evaluation = evaluation_set(order.evaluation, source)
    calibration = calibration_set(order.calibration, source, evaluation)
    (place,) = places(["target"], order.recipe.verify, reach())
    request = Request(order, source, source, calibration, evaluation, ("native",), {}, place)
    with tempfile.TemporaryDirectory() as folder:
        found = compare(request, Path(folder), terminal.track)
    fp32, int8 = found.rows
    if fp32.quality is None or int8.quality is None:
        raise SystemExit(f"{source.name}: {int8.note}")
    numbers = {metric: value for metric, value in int8.quality.metrics.items() if metric != "sqnr_db"}
    first = next(iter(numbers))
    numbers = {f"{first} of fp32": fp32.quality.metrics[first], **numbers}
    if int8.quality.cosines is not None:
        numbers |= {f"cosine {name}": value for name, value in asdict(int8.quality.cosines).items()}
    paces = tuple(pace.ratio for pace in int8.paces)
    return Row(source.name, order.recipe.name, found.kernels, found.dataset, numbers, paces)


def sts_rows(shared: Path, folder: Path, recipes: Sequence[Recipe]) -> Iterator[Row]:
    """Yield MiniLM's rows: calibrated once on the shipped set, judged on STS-B and on SemEval's sets of 2012."""
    source = open_source(str(demo_model()), SourceOptions(name=DEMO_NAME))
    calibration, evaluation = load_samples("stsb", "calibration"), load_samples("stsb", "evaluation")
    semeval = semeval_sets(shared / "data/sts/STS12", folder, set(calibration.texts))
    sets = [evaluation, *(load_samples(str(path), "evaluation") for path in semeval)]
    for recipe in recipes:
        (place,) = places(["target"], recipe.verify, reach())
        on = gate.proven(place)
        made = job.quantize(job.Job(source, recipe, calibration, evaluation, on=on), terminal.track)
        int8 = source_subject(source, made.content.model, made.content.recipe.runtime.session_info())
        for samples in sets:
            trial = gate.Trial(samples, {}, gate.Rules(), elsewhere=on.elsewhere(int8, None, terminal.track))
            found = {one.metric: one for one in gate.compare(source_subject(source), int8, trial).verdicts}
            numbers = {"spearman of fp32": found["spearman"].fp32 or 0.0}
            numbers |= {
                name: found[name].int8 or 0.0 for name in ("spearman", "cosine_mean", "cosine_p1", "cosine_min")
            }
            yield Row(samples.name, recipe.name, str(place), str(len(samples.texts)), numbers)


def semeval_sets(source: Path, folder: Path, calibrated: set[str]) -> Iterator[Path]:
    """Write each set as csv, without pairs of which a text was calibrated on, and yield its path."""
    for name in SEMEVAL:
        rows = zip(lines(source / f"STS.input.{name}.txt"), lines(source / f"STS.gs.{name}.txt"), strict=True)
        pairs = [(*pair.split("\t"), score) for pair, score in rows]
        path = folder / f"{name.rpartition('.')[2]}.csv"
        write(path, ("text", "text2", "score"), (pair for pair in pairs if calibrated.isdisjoint(pair[:2])))
        yield path


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line a row in Markdown; what is shown times 100 is what the gate shows so."""
    if rows:
        yield "| | target | kernels | judged on | | x over fp32 at 1x16 1x128 8x64 |"
        yield "|---|---|---|---|---|---|"
    for row in rows:
        numbers = ", ".join(f"{name} {shown(name, value)}" for name, value in row.numbers.items())
        speed = " ".join(f"{ratio:.2f}" for ratio in row.speed)
        yield f"| {row.what} | {row.target} | {row.kernels} | {row.rows} | {numbers} | {speed} |"


def shown(name: str, value: float) -> str:
    """Return a number as the gate shows that metric."""
    return words.number(name.removesuffix(" of fp32"), value)


def lines(path: Path) -> list[str]:
    """Return a file's lines; a text may hold other separators than the line's end."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def write(path: Path, header: Sequence[str], rows: Iterator[Sequence[str]]) -> None:
    """Write a table as csv."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    sys.exit(main())
