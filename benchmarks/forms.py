"""Time every form of a computation beside the recipe's, at several shapes, on the target's kernels.

usage: forms.py [MODEL] [--target TARGET]... [--json]

The forms are those that `edgequant quantize --tune` chooses from, of a graph without smoothing. All variants of a
target run interleaved in one process, one thread, CPU time; a figure is the median of the rounds' ratios: 1.05x is 5 %
faster than the recipe's own forms. The last table tells what a token costs by how many are in one run, for the recipe's
`max_batch_tokens`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np
import onnx_ir as ir

from toolkit.cli.doctor import diagnose
from toolkit.cli.reach import cache_folder
from toolkit.feeds import unpadded_feed
from toolkit.forms import Forms, alternatives
from toolkit.isa.choose import place_to_time_on
from toolkit.isa.timing import Variant, cpu_seconds
from toolkit.numerics.sqnr import sqnr_db
from toolkit.runtime.similarity import cosines
from toolkit.samples import load_samples
from toolkit.sources import DEMO_NAME, SourceOptions, demo_model, open_source
from toolkit.sources.source import Source
from toolkit.subjects import source_subject
from toolkit.targets import load_recipe
from toolkit.tuning.rewrite import with_forms
from toolkit.tuning.rules.gelu import MICROSOFT, to_fast_gelu
from toolkit.tuning.search import int8_graph

SHAPES = ((1, 16), (1, 128), (8, 64), (4, 256))
LENGTHS, TOKENS = (16, 32, 64, 128), (64, 128, 256, 512, 1024)
ROUNDS, TEXTS = 9, 400


@dataclass(frozen=True)
class Row:
    """One variant: ms a run and speed over the recipe's forms, each at SHAPES."""

    target: str
    form: str
    ms: tuple[float, ...]
    speed: tuple[float, ...]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time equal forms of the int8 graph")
    parser.add_argument("model", nargs="?", help=f"what edgequant quantize takes (default: {DEMO_NAME})")
    parser.add_argument("--target", action="append", metavar="TARGET", help="default: x86-vnni and x86-avx2")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    args = parser.parse_args()
    options = SourceOptions() if args.model else SourceOptions(name=DEMO_NAME)
    source = open_source(args.model or str(demo_model()), options)
    targets = args.target or ["x86-vnni", "x86-avx2"]
    rows = [row for target in targets for row in time_forms(source, target)]
    batches = {target: time_batches(source, target) for target in targets}
    if args.json:
        print(json.dumps({"conditions": conditions(source), "rows": [asdict(row) for row in rows], "batches": batches}))
    else:
        show(source, rows, batches)
    return 0


def time_forms(source: Source, target: str) -> list[Row]:
    """Return the recipe's own forms and each that differs from them in one computation."""
    recipe = load_recipe(target)
    int8 = int8_graph(source, recipe)
    variants = {"the recipe's": recipe.forms} | {
        f"{computation} {form}": recipe.forms.model_copy(update={computation: form})
        for computation in Forms.model_fields
        for form in alternatives(computation)
        if form != getattr(recipe.forms, computation)
    }
    made = [_variant(int8, forms, target) for forms in variants.values()]
    feeds = [_feed(int8, shape) for shape in SHAPES]
    seconds = cpu_seconds(place_to_time_on(recipe.verify.isa, cache_folder()), made, feeds, ROUNDS)
    ms, speed = 1e3 * np.median(seconds, 1), np.median(seconds[:, :, :1] / seconds, 1)
    return [Row(target, name, tuple(ms[:, number]), tuple(speed[:, number])) for number, name in enumerate(variants)]


def time_batches(source: Source, target: str) -> list[list[float]]:
    """Return the microseconds that a token costs, [LENGTHS][TOKENS in a run]."""
    recipe = load_recipe(target)
    int8 = int8_graph(source, recipe)
    shapes = [(max(1, tokens // length), length) for length in LENGTHS for tokens in TOKENS]
    place = place_to_time_on(recipe.verify.isa, cache_folder())
    seconds = cpu_seconds(
        place, [_variant(int8, recipe.forms, target)], [_feed(int8, shape) for shape in shapes], ROUNDS
    )
    each = 1e6 * np.median(seconds[:, :, 0], 1) / np.prod(shapes, axis=1)
    return [[round(float(value), 1) for value in row] for row in each.reshape(len(LENGTHS), len(TOKENS))]


def approximation(source: Source) -> str:
    """Return what GELU by tanh changes in the float model: outputs on TEXTS sentences, by cosine and in dB."""
    texts = list(dict.fromkeys(load_samples("stsb", "evaluation").texts))[:TEXTS]
    fast = source.model.clone()
    to_fast_gelu(fast)
    fast.opset_imports[MICROSOFT] = 1
    models = (None, ir.to_proto(fast).SerializeToString())
    exact, near = (source_subject(source, model).loaded(1).run(texts) for model in models)
    return f"cosine {cosines(exact, near).min():.6f} at least, {sqnr_db(exact, near):.1f} dB, {len(texts)} sentences"


def conditions(source: Source) -> dict[str, str]:
    """Return what the figures hold for."""
    found = diagnose()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": f"{found.cpu} ({found.architecture})",
        "versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        "model": f"{source.name}, sha256 {source.digest[:12]}",
        "time": f"CPU time of one thread, medians of {ROUNDS} interleaved rounds",
    }


def show(source: Source, rows: Sequence[Row], batches: dict[str, list[list[float]]]) -> None:
    """Print conditions and tables in Markdown."""
    for name, value in (conditions(source) | {"gelu tanh in fp32": approximation(source)}).items():
        print(f"- {name}: {value}")
    heads = " | ".join(f"{batch}x{length}" for batch, length in SHAPES)
    print(f"\n| target | form | {heads} |\n|---|---|{'---|' * len(SHAPES)}")
    for row in rows:
        own = row.form == "the recipe's"
        cells = (f"{ms:.2f} ms" if own else f"{speed:.3f}x" for ms, speed in zip(row.ms, row.speed, strict=True))
        print(f"| {row.target} | {row.form} | {' | '.join(cells)} |")
    print(f"\n| target | length | {' | '.join(f'{tokens} tokens' for tokens in TOKENS)} |")
    print(f"|---|---|{'---|' * len(TOKENS)}")
    for target, table in batches.items():
        for length, costs in zip(LENGTHS, table, strict=True):
            print(f"| {target} | {length} | {' | '.join(f'{value} µs' for value in costs)} |")


def _variant(int8: ir.Model, forms: Forms, target: str) -> Variant:
    model = ir.to_proto(with_forms(int8, forms)).SerializeToString()
    return Variant(model, load_recipe(target).runtime.session_info())


def _feed(int8: ir.Model, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(0).integers(0, 20, shape)
    return dict(unpadded_feed(ids, [str(value.name) for value in int8.graph.inputs]))


if __name__ == "__main__":
    sys.exit(main())
