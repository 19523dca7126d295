"""Bars of fp32 and int8 beside each other: bytes by part, and time by shape."""

from collections.abc import Sequence

from toolkit.report import words
from toolkit.report.page import Part
from toolkit.report.plots.svg import Figure, Scale
from toolkit.speed import Speed

BAR, LABEL, GROUP = 22, 20, 24


def size_plot(parts: Sequence[Part]) -> Figure:
    """Draw one stacked bar a model: what its bytes are."""
    models = [("int8", [part.int8 for part in parts])]
    before = [part.fp32 for part in parts if part.fp32 is not None]
    if len(before) == len(parts):
        models.insert(0, ("fp32", before))
    scale = Scale(0, max(sum(sizes) for _, sizes in models))
    said = "; ".join(f"{name} {words.megabytes(sum(sizes))}" for name, sizes in models)
    figure = Figure("sizes", len(models) * (LABEL + BAR + 10), "Model size by part", said)
    for row, (name, sizes) in enumerate(models):
        top, start = row * (LABEL + BAR + 10) + LABEL, 0
        figure.words((0, top - 6), name, "label")
        figure.words((100, top - 6), words.megabytes(sum(sizes)), "label value", "end")
        for number, (part, size) in enumerate(zip(parts, sizes, strict=True)):
            corner, width = (scale.at(start), top), scale.at(start + size) - scale.at(start)
            figure.box(corner, (width, BAR), f"fill c{number}", f"{part.name}: {words.megabytes(size)}")
            start += size
    return figure


def speed_plot(speeds: Sequence[Speed]) -> Figure:
    """Draw two bars a shape, fp32 above int8: CPU milliseconds of one thread."""
    step = LABEL + 2 * 16 + GROUP
    scale = Scale(0, 1.35 * max(max(item.fp32_ms, item.int8_ms) for item in speeds))  # room for the numbers
    said = "; ".join(f"{item.batch}x{item.length}: {item.fp32_ms:.1f} and {item.int8_ms:.1f} ms" for item in speeds)
    figure = Figure("speed", step * len(speeds) - GROUP / 2, "CPU time of one run, fp32 and int8", said)
    for row, item in enumerate(speeds):
        top = row * step + LABEL
        figure.words((0, top - 6), f"{item.batch} x {item.length} tokens", "label")
        figure.words((100, top - 6), faster(item), "label value", "end")
        for number, (name, value) in enumerate((("fp32", item.fp32_ms), ("int8", item.int8_ms))):
            y, end = top + 16 * number, scale.at(value)
            figure.box((0, y), (end, 13), f"fill {name}")
            figure.words((end, y + 11), f"{value:.2f} ms", "tick", shift=6)
    return figure


def faster(item: Speed) -> str:
    """Return the ratio in words."""
    return f"{item.ratio:.2f}x as fast" if item.ratio >= 1 else f"{item.ratio:.2f}x as fast: int8 is slower"
