"""Which layers run in int8: all that the rules allow, or fewer where that loses too much on calibration data.

What is judged here is never what the gate judges: the last word is spoken on samples that nothing here has seen.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from toolkit.gate import GateReport
from toolkit.graphs.calibrating import Range
from toolkit.graphs.judging import worst_sqnr
from toolkit.graphs.preparing import FloatGraph
from toolkit.graphs.quantizing import COMPUTING, MOVING, Layer, quantize
from toolkit.progress import Track, silent
from toolkit.targets import Treatment

Trial = Callable[[bytes], GateReport]
"""From an int8 model to what the limits say to it on calibration samples."""


@dataclass(frozen=True)
class Trials:
    """``whole`` says whether a model will do; ``quick`` only which layers harm more than others."""

    whole: Trial
    quick: Trial


@dataclass(frozen=True, eq=False)
class Chosen:
    """The int8 model, its layers as they were treated, and the SQNR at the output with each alone in int8, if asked."""

    model: bytes
    layers: tuple[Layer, ...]
    alone: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class _Tried:
    model: bytes
    operators: Collection[str]
    report: GateReport


def choose(
    graph: FloatGraph, layers: Sequence[Layer], ranges: Mapping[str, Range], trials: Trials, track: Track = silent
) -> Chosen:
    """Return the first int8 model that passes on calibration samples, or the best of all that were tried.

    In their order: all layers with everything around them in int8; all layers, what computes between them float; then
    without the layers that, alone in int8, harm the output most: 1, 2, 4, … of them, up to half.
    """
    wanted = [layer for layer in layers if layer.int8]
    tried: list[_Tried] = []
    for operators in ((*MOVING, *COMPUTING), MOVING):
        tried.append(_try(graph, wanted, ranges, operators, trials.whole))
        if tried[-1].report.passed:
            return Chosen(tried[-1].model, tuple(layers), {})
    best = max(tried, key=lambda one: worst_sqnr(one.report))
    alone = {
        layer.name: worst_sqnr(_try(graph, [layer], ranges, (), trials.quick).report)
        for layer in track(wanted, "try layers alone", len(wanted))
    }
    order = sorted(wanted, key=lambda layer: alone[layer.name])
    found = Chosen(best.model, tuple(layers), alone)
    for count in _counts(len(order)):
        given_up = {layer.name for layer in order[:count]}
        kept = [layer for layer in wanted if layer.name not in given_up]
        now = _try(graph, kept, ranges, best.operators, trials.whole)
        if now.report.passed or worst_sqnr(now.report) > worst_sqnr(best.report):
            best = now
            treated = tuple(_float(layer, alone) if layer.name in given_up else layer for layer in layers)
            found = Chosen(now.model, treated, alone)
        if now.report.passed:
            break
    return found


def _try(
    graph: FloatGraph, layers: Sequence[Layer], ranges: Mapping[str, Range], operators: Collection[str], trial: Trial
) -> _Tried:
    model = quantize(graph, layers, ranges, operators)
    return _Tried(model, operators, trial(model))


def _counts(layers: int) -> Iterator[int]:
    count = 1
    while count <= layers // 2:
        yield count
        count *= 2


def _float(layer: Layer, alone: Mapping[str, float]) -> Layer:
    why = f"Alone in int8, it leaves an SQNR of {alone[layer.name]:.1f} dB at the output, and all together too little."
    return replace(layer, treatment=Treatment(why=(*layer.treatment.why, why)))
