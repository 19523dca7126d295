"""Measure how often the gate errs: on halves of STS-B with a real int8 model and a spoilt one, and in simulation.

1. Halves: the set is cut in two at random, and the gate judges on one half. The good model is edgequant's int8; the
   spoilt one has noise in its weights, as much as costs one point of Spearman on the whole set.
2. Draws: rows are drawn with replacement from the whole set, on which the true drop is known. With the limit at just
   that drop no answer is right, and either wrong one may be given in 5 of 100 draws.
3. Accuracy: what Tango's interval makes of two models whose answers part as often as those of a real classifier.

With --save the similarities of the three models are written, for the tests; --stored takes them from there. Making the
models needs the demo model and a few minutes.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from toolkit import gate, statistics
from toolkit import quantize as job
from toolkit.cli import terminal
from toolkit.cli.doctor import diagnose
from toolkit.gate import Measured, Outcome, Rules, Subject, embedding, ranking
from toolkit.limits import Limit
from toolkit.metrics import Ints, spearman
from toolkit.samples import Samples, load_samples
from toolkit.sources import DEMO_NAME, SourceOptions, demo_model, open_source
from toolkit.statistics import Doubles
from toolkit.subjects import source_subject
from toolkit.targets import load_recipe

HALVES, SEED = 20, 0
SPOILT = 0.01
FLIPS = (0.0081, 0.0113)
"""Shares of rows that only int8, and only fp32, has right: a sentiment probe on MiniLM and vader-sentiment."""
RULES = Rules()


@dataclass(frozen=True)
class Similarities:
    """Cosines of the two vectors of each pair, by three models, and the scores that people gave."""

    fp32: Doubles
    good: Doubles
    spoilt: Doubles
    gold: Doubles

    def drop(self, model: Doubles) -> float:
        """Return by how much a model's Spearman is below fp32's on all rows."""
        return spearman(self.fp32, self.gold) - spearman(model, self.gold)


@dataclass(frozen=True)
class Rates:
    """How often each answer was given."""

    what: str
    rows: int
    limit: float
    runs: int
    outcomes: dict[str, float]


def main() -> int:
    """Measure, and print the rates with their conditions."""
    parser = argparse.ArgumentParser(description="measure the gate's error rates")
    parser.add_argument(
        "--draws", type=int, default=100, metavar="N", help="draws of a row of the table (default: 100)"
    )
    parser.add_argument("--save", type=Path, metavar="FILE.npz", help="write the similarities, for the tests")
    parser.add_argument("--stored", type=Path, metavar="FILE.npz", help="take the similarities that --save wrote")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    args = parser.parse_args()
    found = stored(args.stored) if args.stored else measure(load_samples("stsb", "evaluation"))
    if args.save:
        np.savez_compressed(args.save, **{name: array.astype(np.float32) for name, array in asdict(found).items()})
    limit = load_recipe("x86-avx2").gate.embedding.spearman
    assert limit is not None  # noqa: S101 - the shipped recipe has one
    rates = [*halves(found, limit), *draws(found, limit, args.draws), *accuracies(20 * args.draws)]
    known = conditions(found)
    if args.json:
        terminal.print_json({"conditions": known, "rates": [asdict(row) for row in rates]})
    else:
        show(rates, known)
    return 0


def stored(path: Path) -> Similarities:
    """Read what --save wrote."""
    with np.load(path) as arrays:
        return Similarities(**{name: arrays[name].astype(np.float64) for name in arrays.files})


def measure(samples: Samples) -> Similarities:
    """Return what the three models make of the pairs."""
    source = open_source(str(demo_model()), SourceOptions(name=DEMO_NAME))
    recipe = load_recipe("x86-avx2")
    made = job.quantize(job.Job(source, recipe, load_samples("stsb", "calibration"), samples), terminal.track)
    fp32 = source_subject(source)
    good = source_subject(source, made.content.model, recipe.runtime.session_info())
    gold = np.array(samples.scores, np.float64)
    reference = similarities(fp32, samples)
    found = Similarities(reference, similarities(good, samples), reference, gold)
    low, high = 0.0, 0.5
    while True:  # the drop grows with the noise: halve the range until it is one point
        scale = (low + high) / 2
        found = replace(found, spoilt=similarities(noisy(fp32, scale), samples))
        print(f"noise {scale:.4f}: drop {100 * found.drop(found.spoilt):.3f} points", file=sys.stderr)
        if abs(found.drop(found.spoilt) - SPOILT) < 0.0003 or high - low < 1e-4:
            return found
        low, high = (scale, high) if found.drop(found.spoilt) < SPOILT else (low, scale)


def similarities(subject: Subject, samples: Samples) -> Doubles:
    """Return the cosine of each pair."""
    reading = gate.reading_of(subject.judged, samples)
    outputs = gate.run(subject.loaded(None), reading, f"evaluate {subject.judged.name}", terminal.track)
    return embedding.similarities(samples, outputs)


def noisy(subject: Subject, scale: float) -> Subject:
    """Return the model with noise in the weights of its layers: ``scale`` times the spread of each."""
    proto, random = onnx.load_from_string(subject.model), np.random.default_rng(SEED)
    for tensor in proto.graph.initializer:
        if len(tensor.dims) == 2 and "embedding" not in tensor.name and tensor.data_type == onnx.TensorProto.FLOAT:
            weight = numpy_helper.to_array(tensor)
            weight = weight + (scale * weight.std() * random.normal(size=weight.shape)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return replace(subject, model=proto.SerializeToString())


def judged(found: Similarities, model: Doubles, rows: Ints, limit: Limit) -> Outcome:
    """Return the gate's answer on some of the rows."""
    gold = tuple(found.gold[rows].tolist())
    return answer(ranking.spearman(found.fp32[rows], model[rows], gold, "similarities"), limit)


def answer(measured: Measured, limit: Limit) -> Outcome:
    """Return the verdict's outcome."""
    (verdict,) = gate.verdicts([measured], {measured.metric: limit}, RULES)
    return verdict.outcome


def halves(found: Similarities, limit: Limit) -> Iterable[Rates]:
    """Yield what the gate says to both models on halves of the set."""
    count = len(found.gold)
    random = np.random.default_rng(SEED)
    parts = [np.sort(random.permutation(count)[: count // 2]) for _ in range(HALVES)]
    for what, model in (("good model", found.good), ("spoilt model", found.spoilt)):
        run = partial(judged, found, model, limit=limit)
        yield rates(f"Spearman, {what}, halves", count // 2, limit, [run(rows) for rows in parts])


def draws(found: Similarities, limit: Limit, runs: int) -> Iterable[Rates]:
    """Yield what the gate says on rows drawn with replacement, with the recipe's limit and with that of the truth."""
    count = len(found.gold)
    for what, model, held in (
        ("good model", found.good, limit),
        ("spoilt model", found.spoilt, limit),
        ("limit at the true drop", found.spoilt, Limit(max_drop=found.drop(found.spoilt))),
    ):
        for rows in (345, 690, 1379):
            random = np.random.default_rng(SEED)
            run = partial(judged, found, model, limit=held)
            drawn = (random.integers(0, count, rows) for _ in range(runs))
            yield rates(f"Spearman, {what}, draws", rows, held, [run(each) for each in drawn])


def accuracies(runs: int) -> Iterable[Rates]:
    """Yield what the gate says to accuracies: the limit is 1 point, as in the recipes."""
    limit = Limit(max_drop=0.01)
    gained, lost = FLIPS
    for what, more in (("good model", 0.0), ("limit at the true drop", 0.01 - lost + gained), ("2 points worse", 0.02)):
        for rows in (400, 1600, 3200):
            random = np.random.default_rng(SEED)
            cells = (random.multinomial(rows, (gained, lost + more, 1 - gained - lost - more)) for _ in range(runs))
            outcomes = [answer(_accuracy(int(cell[0]), int(cell[1]), rows), limit) for cell in cells]
            yield rates(f"accuracy, {what}", rows, limit, outcomes)


def _accuracy(gained: int, lost: int, rows: int) -> Measured:
    change = partial(statistics.paired_share, gained, lost, rows)
    return Measured("accuracy", 0.7, 0.7 + (gained - lost) / rows, change=change)


def rates(what: str, rows: int, limit: Limit, outcomes: list[Outcome]) -> Rates:
    """Return how often each outcome is among some."""
    counts: Counter[str] = Counter(outcomes)
    names = ("pass", "undecided", "fail")
    shares = {name: counts[name] / len(outcomes) for name in names}
    return Rates(what, rows, limit.max_drop or 0.0, len(outcomes), shares)


def conditions(found: Similarities) -> dict[str, str]:
    """Return what the figures hold for."""
    here = diagnose()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": f"{here.cpu} ({here.architecture}: {', '.join(here.features)})",
        "versions": ", ".join(f"{name} {version}" for name, version in here.versions.items()),
        "rows": f"STS-B test, {len(found.gold):,} pairs; {statistics.RESAMPLES} resamples, {RULES.confidence} sure",
        "good model": f"{DEMO_NAME} for x86-avx2, {100 * found.drop(found.good):.2f} points below fp32",
        "spoilt model": f"fp32 with noise in its weights, {100 * found.drop(found.spoilt):.2f} points below fp32",
        "accuracy": f"of the rows {100 * FLIPS[0]:.2f} % right in int8 alone, {100 * FLIPS[1]:.2f} % in fp32 alone",
    }


def show(table: Iterable[Rates], known: dict[str, str]) -> None:
    """Print conditions and rates in Markdown."""
    for name, value in known.items():
        print(f"- {name}: {value}")
    print("\n| what | rows | allowed drop | runs | pass | undecided | fail |")
    print("|---|---|---|---|---|---|---|")
    for row in table:
        shares = " | ".join(f"{100 * share:.1f} %" for share in row.outcomes.values())
        print(f"| {row.what} | {row.rows:,} | {100 * row.limit:.2f} | {row.runs} | {shares} |")


if __name__ == "__main__":
    sys.exit(main())
