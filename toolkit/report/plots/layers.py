"""SQNR of each layer in the order of the graph; layers of one role share a colour and are joined."""

from collections.abc import Sequence

from toolkit.report.page import Layer
from toolkit.report.plots.svg import Figure, Scale

HEIGHT, TOP, BOTTOM = 240, 14, 214
COLOURS = 6
STEP = 10  # dB between the lines of the grid


def kinds(layers: Sequence[Layer]) -> dict[str, int]:
    """Return a colour for each role, the most frequent first; those after the last colour share it."""
    counts: dict[str, int] = {}
    for layer in layers:
        if layer.sqnr_db is not None:
            counts[layer.kind] = counts.get(layer.kind, 0) + 1
    ordered = sorted(counts, key=lambda kind: -counts[kind])
    return {kind: min(number, COLOURS - 1) for number, kind in enumerate(ordered)}


def layer_plot(layers: Sequence[Layer]) -> Figure:
    """Draw a dot a layer, higher is better; a layer that stayed float is a ring at the foot."""
    values = [layer.sqnr_db for layer in layers if layer.sqnr_db is not None]
    across = Scale(-0.5, len(layers) - 0.5)
    up = Scale(STEP * (min(values) // STEP), STEP * (max(values) // STEP + 1))
    worst = min((layer for layer in layers if layer.sqnr_db is not None), key=lambda layer: layer.sqnr_db or 0.0)
    said = f"{len(values)} int8 layers from {min(values):.1f} to {max(values):.1f} dB; least: {worst.name}."
    figure = Figure("layers", HEIGHT, "SQNR of each int8 layer, in the order of the graph", said)
    _grid(figure, up)
    colours, last = kinds(layers), dict[str, tuple[float, float]]()
    places = [(layer, _place(layer, number, across, up)) for number, layer in enumerate(layers)]
    for layer, at in places:
        if layer.sqnr_db is not None:
            if layer.kind in last:
                figure.line(last[layer.kind], at, f"trace c{colours[layer.kind]}")
            last[layer.kind] = at
    for layer, at in places:
        shown = "float" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f} dB"
        look = "ring" if layer.sqnr_db is None else f"dot c{colours[layer.kind]}"
        figure.dot(at, 4, look, f"{layer.name}: {shown}")
    figure.words((0, HEIGHT - 4), "first layer", "tick")
    figure.words((100, HEIGHT - 4), "last layer", "tick", "end")
    return figure


def _grid(figure: Figure, up: Scale) -> None:
    value = up.low
    while value <= up.high:
        y = _height(up, value)
        figure.line((0, y), (100, y), "grid")
        figure.words((0, y - 4), f"{value:.0f} dB", "tick")
        value += STEP


def _place(layer: Layer, number: int, across: Scale, up: Scale) -> tuple[float, float]:
    y = BOTTOM if layer.sqnr_db is None else _height(up, layer.sqnr_db)
    return 8 + 0.92 * across.at(number), y  # the labels of the grid stand on the left


def _height(up: Scale, value: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * up.at(value) / 100
