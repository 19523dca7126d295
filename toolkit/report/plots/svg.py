"""The few shapes that the plots are made of. Colours are classes of the page's style sheet, never values here."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

from toolkit.report.text import clean

LEFT, RIGHT = 0.0, 100.0


@dataclass(frozen=True)
class Scale:
    """Maps ``low … high`` to per cent of the plot's width; what lies outside is put at the edge."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where a value lies, 0 to 100."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return 100 * min(max(share, 0.0), 1.0)


class Figure:
    """One plot: x in per cent of its width, y in pixels from its top."""

    def __init__(self, ident: str, height: float, title: str, description: str) -> None:
        names = f"{ident}-title {ident}-desc"
        self._root = ET.Element("svg", {"class": "plot", "width": "100%", "height": f"{height:g}", "role": "img"})
        self._root.set("aria-labelledby", names)
        ET.SubElement(self._root, "title", id=f"{ident}-title").text = clean(title)
        ET.SubElement(self._root, "desc", id=f"{ident}-desc").text = clean(description)

    def line(self, start: tuple[float, float], end: tuple[float, float], look: str) -> None:
        """Draw a straight line."""
        (x1, y1), (x2, y2) = start, end
        self._add("line", look, x1=_percent(x1), y1=_pixels(y1), x2=_percent(x2), y2=_pixels(y2))

    def box(self, corner: tuple[float, float], size: tuple[float, float], look: str, tip: str = "") -> None:
        """Draw a rectangle; ``tip`` shows when the mouse rests on it."""
        (x, y), (width, height) = corner, size
        found = self._add("rect", look, x=_percent(x), y=_pixels(y), width=_percent(width), height=_pixels(height))
        _tip(found, tip)

    def dot(self, at: tuple[float, float], radius: float, look: str, tip: str = "") -> None:
        """Draw a disc."""
        found = self._add("circle", look, cx=_percent(at[0]), cy=_pixels(at[1]), r=_pixels(radius))
        _tip(found, tip)

    def words(self, at: tuple[float, float], text: str, look: str, anchor: str = "start", shift: float = 0) -> None:
        """Write a line of text, its base line at y, ``shift`` pixels to the right of x."""
        found = self._add("text", look, x=_percent(at[0]), y=_pixels(at[1]))
        found.set("text-anchor", anchor)
        if shift:
            found.set("dx", _pixels(shift))
        found.text = clean(text)

    def markup(self) -> Markup:
        """Return the SVG element for the page."""
        return Markup(ET.tostring(self._root, encoding="unicode"))  # noqa: S704 - ElementTree escapes

    def _add(self, shape: str, look: str, **attributes: str) -> ET.Element:
        return ET.SubElement(self._root, shape, {"class": look, **attributes})


def anchor(x: float, room: float = 4) -> str:
    """Return how a label at ``x`` per cent is anchored so that ``room`` on either side is enough for it."""
    return "start" if x < room else "end" if x > 100 - room else "middle"


def _tip(element: ET.Element, tip: str) -> None:
    if tip:
        ET.SubElement(element, "title").text = clean(tip)


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _pixels(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
