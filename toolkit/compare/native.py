"""edgequant's own engine, in a process of its own so that its peak of memory is its own."""

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import toolkit
from toolkit.engines.building import peak_bytes
from toolkit.engines.calling import Built
from toolkit.quantize import Job, quantize
from toolkit.sets import DataSet, calibration_set, evaluation_set
from toolkit.sources import SourceOptions, open_source
from toolkit.targets import Recipe


@dataclass(frozen=True)
class NativeOrder:
    """A model as the user named it, for what, on which data, and with how many threads."""

    model: str
    options: SourceOptions
    recipe: Recipe
    calibration: DataSet
    evaluation: DataSet
    threads: int | None


def build(order: NativeOrder, out: Path) -> Built:
    """Return what `edgequant quantize` makes; its time and memory are with the gate, which the others do not have."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_build, order, out).result()


def _build(order: NativeOrder, out: Path) -> Built:
    start = time.perf_counter()
    source = open_source(order.model, order.options)
    evaluation = evaluation_set(order.evaluation, source)
    calibration = calibration_set(order.calibration, source, evaluation)
    made = quantize(Job(source, order.recipe, calibration, evaluation, order.threads))
    out.write_bytes(made.content.model)
    return Built(out, f"edgequant {toolkit.__version__}", time.perf_counter() - start, peak_bytes())
