"""What each step of the engine is worth: the full recipe, then without one step at a time, by accuracy against fp32.

usage: ablation.py [MODEL] [--target TARGET] [--rows N] [--json]

MODEL is a folder of a text model (default: all-MiniLM-L6-v2, which is embedded). Texts are those of the set that is
shipped for its task; no label is needed: the outputs of int8 are compared with those of fp32, text by text. Full
weights for a target that asks for the pair bound show what the bound costs where nothing saturates: they are run on
this CPU's kernels.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import onnx_ir as ir

from toolkit import gate
from toolkit.apply import apply
from toolkit.arrange import arrange
from toolkit.cli import terminal
from toolkit.feeds import equal_length_feeds
from toolkit.lower import Lowered, lower
from toolkit.metrics import Float
from toolkit.numerics.sqnr import sqnr_db
from toolkit.observe import Ranges, observe
from toolkit.plan import LinearPlan, QuantPlan, plan
from toolkit.quantize import calibration_tokens
from toolkit.runtime.similarity import cosines
from toolkit.samples import default_set, load_samples
from toolkit.sources import DEMO_NAME, Source, SourceOptions, demo_model, open_source
from toolkit.subjects import source_subject
from toolkit.targets import Quantization, Recipe, Rule, load_recipe
from toolkit.tuning.rewrite import with_forms

BARE: Mapping[str, str] = {"smoothing": "none", "outliers": "none", "rounding": "nearest"}
STEPS: Mapping[str, Mapping[str, str]] = {
    "the recipe": {},
    "without outlier channels": {"outliers": "none"},
    "without smoothing": {"smoothing": "none"},
    "rounding to nearest": {"rounding": "nearest"},
    "pair bound": {"weight_range": "pair"},
    "reduced range (±64)": {"weight_range": "reduced"},
    "full range (±127)": {"weight_range": "full"},
    "none of these": BARE,
}
UNCORRECTED = "without bias correction"


@dataclass(frozen=True)
class Row:
    """One variant; cosines of each text's output to fp32's."""

    step: str
    mean: float
    p1: float
    least: float
    sqnr_db: float
    bytes: int


def main() -> int:
    """Measure the variants and print."""
    parser = argparse.ArgumentParser(description="what each step of the engine is worth")
    parser.add_argument("model", nargs="?", help=f"a folder (default: {DEMO_NAME})")
    parser.add_argument("--target", default="x86-vnni")
    parser.add_argument("--rows", type=int, default=400, help="of the evaluation set, evenly spaced (default: 400)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    args = parser.parse_args()
    options = SourceOptions(name=None if args.model else DEMO_NAME)
    rows = measure(open_source(args.model or str(demo_model()), options), load_recipe(args.target), args.rows)
    if args.json:
        terminal.print_json([asdict(row) for row in rows])
        return 0
    print("| variant | cosine mean / p1 / min | SQNR dB | MB |\n|---|---|---|---|")
    for row in rows:
        numbers = f"{row.mean:.5f} / {row.p1:.5f} / {row.least:.5f} | {row.sqnr_db:.1f} | {row.bytes / 1e6:.1f}"
        print(f"| {row.step} | {numbers} |")
    return 0


def measure(source: Source, recipe: Recipe, count: int) -> list[Row]:
    """Return the rows of a model for a recipe, on so many rows of its task's set."""
    name = default_set(source.task)
    evaluation = load_samples(name, "evaluation", limit=count)
    texts = calibration_tokens(source, load_samples(name, "calibration"), evaluation)
    lowered = lower(source.model)
    feeds = equal_length_feeds(texts, [str(value.name) for value in lowered.model.graph.inputs])
    known = arrange(lowered, observe(lowered, feeds, terminal.track))
    reading = gate.reading_of(source, evaluation)
    exact = gate.run(source_subject(source).loaded(None), reading, "fp32", terminal.track)
    plans = {step: _plan(known, recipe.quantization, settings) for step, settings in STEPS.items()}
    plans[UNCORRECTED] = _uncorrected(plans["the recipe"])
    rows = []
    for step, decided in plans.items():
        model = ir.to_proto(with_forms(apply(known[0], decided), recipe.forms)).SerializeToString()
        subject = source_subject(source, model, recipe.runtime.session_info())
        rows.append(_row(step, exact, gate.run(subject.loaded(None), reading, step, terminal.track), len(model)))
    return rows


def _plan(known: tuple[Lowered, Ranges], rules: Quantization, settings: Mapping[str, str]) -> QuantPlan:
    last = Rule.model_validate({"select": "linear", "why": "A variant.", **settings})
    return plan(*known, rules.model_copy(update={"rules": (*rules.rules, last)}))


def _uncorrected(decided: QuantPlan) -> QuantPlan:
    """Return a plan with the biases of the float model."""
    return replace(decided, linears=tuple(map(_without_correction, decided.linears)))


def _without_correction(item: LinearPlan) -> LinearPlan:
    if item.int8 is None:
        return item
    bias = np.zeros_like(item.int8.bias) if item.linear.bias is None else item.linear.bias
    return replace(item, int8=replace(item.int8, bias=bias))


def _row(step: str, exact: Float, found: Float, size: int) -> Row:
    alike = cosines(exact, found)
    least, low = float(alike.min()), float(np.quantile(alike, 0.01))
    return Row(step, float(alike.mean()), low, least, sqnr_db(exact, found), size)


if __name__ == "__main__":
    sys.exit(main())
