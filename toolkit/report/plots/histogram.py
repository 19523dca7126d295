"""How the cosines of int8 to fp32 are distributed: counts on a logarithmic scale, for the tail decides."""

from math import ceil, log10

from toolkit.gate import GateReport, Histogram
from toolkit.report.plots.svg import Figure, Scale, anchor

HEIGHT, TOP, BOTTOM = 250, 44, 218
LEAST = 0.5  # where the logarithmic scale begins, so that one row still has some height
INSET = 10.0  # per cent on the left, for the numbers of the grid
ROWS = (12.0, 26.0)  # base lines of the labels of what is marked
APART = 30.0  # per cent between two labels of one row
MARKED = (("cosine_min", "min"), ("cosine_p1", "p1"), ("cosine_mean", "mean"))


class _Inset(Scale):
    """Leaves room on the left."""

    def at(self, value: float) -> float:
        return INSET + (100 - INSET) / 100 * super().at(value)


def histogram_plot(report: GateReport, found: Histogram) -> Figure:
    """Draw a bar a bin, with the least, the first percentile and the mean marked where they are known."""
    across, most = _Inset(found.edges[0], found.edges[-1]), max(found.counts, default=0)
    up = Scale(log10(LEAST), max(1, ceil(log10(max(most, 1) + 1))))
    said = f"{sum(found.counts)} texts from {found.edges[0]:.4f} to {found.edges[-1]:.4f}, {most} in the fullest bin."
    figure = Figure("cosines", HEIGHT, "Cosine of int8 to fp32, texts a bin on a logarithmic scale", said)
    for power in range(int(up.high) + 1):
        y = _height(up, power)
        figure.line((0, y), (100, y), "grid")
        figure.words((0, y - 4), f"{10**power:,}", "tick")
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        if count:
            x, y = across.at(low), _height(up, log10(count))
            width = max(across.at(high) - x - 0.25, 0.3)
            figure.box((x, y), (width, BOTTOM - y), "bar", f"{low:.4f} to {high:.4f}: {count}")
    _marks(figure, report, across)
    _axis(figure, across)
    return figure


def _marks(figure: Figure, report: GateReport, across: Scale) -> None:
    values = {item.metric: item.int8 for item in report.verdicts if item.int8 is not None}
    ends = dict.fromkeys(ROWS, -APART)  # where the last label of each row stands
    for metric, label in MARKED:
        if metric not in values:
            continue
        x = across.at(values[metric])
        row = next((row for row, end in ends.items() if x - end >= APART), None)
        figure.line((x, ROWS[-1] + 4 if row is None else row + 4), (x, BOTTOM), "mark")
        if row is not None:  # else labels would touch on a phone: the verdicts have the number
            figure.words((x, row), f"{label} {values[metric]:.4f}", "tick strong", anchor(x, 12))
            ends[row] = x


def _axis(figure: Figure, across: Scale) -> None:
    figure.line((INSET, BOTTOM), (100, BOTTOM), "axis")
    for part in range(5):
        value = across.low + (across.high - across.low) * part / 4
        x = across.at(value)
        figure.words((x, BOTTOM + 18), f"{value:.3f}", "tick", anchor(x))


def _height(up: Scale, value: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * up.at(value) / 100
