"""One self-contained page: no script, no request, nothing that is not in the file.

Its Content-Security-Policy lets in one style sheet by its digest and the icon; texts are escaped by the template.
"""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from toolkit.report import words
from toolkit.report.page import Page
from toolkit.report.plots.bars import faster, size_plot, speed_plot
from toolkit.report.plots.forest import forest, used
from toolkit.report.plots.histogram import histogram_plot
from toolkit.report.plots.layers import kinds, layer_plot
from toolkit.report.text import clean

LONG = 280  # characters of an example that are shown before it is folded
_ICONS = {"pass": "#1a7f37", "fail": "#c2261d", "undecided": "#9a6700"}


@dataclass(frozen=True)
class Plots:
    """The plots of a page, None where there is nothing to draw."""

    forest: Markup | None
    cosines: Markup | None
    layers: Markup | None
    sizes: Markup | None
    speed: Markup | None


def html(page: Page) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("toolkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    style = files("toolkit.report").joinpath("templates/page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    state = words.state(page.report)
    return environment.get_template("page.html.j2").render(
        page=page,
        report=page.report,
        state=state,
        words=words,
        plots=_plots(page),
        kinds=kinds(page.layers),
        faster=faster,
        long=LONG,
        style=Markup(style),  # noqa: S704 - a file of this package
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'",
        icon=_icon(_ICONS[state]),
    )


def _plots(page: Page) -> Plots:
    report = page.report
    found = used(report)
    measured = any(layer.sqnr_db is not None for layer in page.layers)
    return Plots(
        forest(found).markup() if found else None,
        histogram_plot(report, report.histogram).markup() if report.histogram else None,
        layer_plot(page.layers).markup() if measured else None,
        size_plot(page.parts).markup() if page.parts else None,
        speed_plot(page.speeds).markup() if page.speeds else None,
    )


def _finalize(value: object) -> object:
    return clean(value) if type(value) is str else value


def _icon(colour: str) -> str:
    disc = f"<circle cx='4' cy='4' r='4' fill='{colour}'/>"
    shape = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'>{disc}</svg>"
    return f"data:image/svg+xml;base64,{base64.b64encode(shape.encode()).decode()}"
