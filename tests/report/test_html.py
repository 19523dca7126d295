import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from tests.report.pages import CLASSIFIER, EVERYTHING, NASTY, PAGES, PASSED
from toolkit.gate import Example
from toolkit.report.html import LONG, html
from toolkit.report.page import Page, layers, provenance
from toolkit.report.text import clean

VOID = {"meta", "link", "br", "img"}


class Reader(HTMLParser):
    """Reads a page, and refuses elements that are not closed in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.said: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.said.append(data)


def read(page: Page) -> Reader:
    reader = Reader()
    reader.feed(html(page))
    assert reader.open == []
    return reader


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_nothing_runs_and_nothing_is_fetched(page):
    made, reader = html(page), read(page)
    assert "script" not in reader.tags
    assert {"img", "iframe", "object", "embed", "form", "base"}.isdisjoint(reader.tags)
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name != "style", "the policy blocks it"
        assert name not in ("src", "srcset", "action", "xlink:href")
        assert name != "href" or value.startswith("data:image/svg+xml;base64,")
    style = re.search("<style>(.*)</style>", made, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(value for tag, name, value in reader.attributes if tag == "meta" and "default-src" in (value or ""))
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_plots_have_names_and_identifiers_are_unique(page):
    reader = read(page)
    identifiers = [value for _, name, value in reader.attributes if name == "id"]
    assert len(identifiers) == len(set(identifiers))
    for tag, name, value in reader.attributes:
        if tag == "svg" and name == "aria-labelledby":
            assert set(value.split()) <= set(identifiers)
    assert reader.tags.count("svg") == sum(name == "aria-labelledby" for _, name, _ in reader.attributes)
    assert reader.tags.count("h1") == 1


def test_everything_that_is_known_is_on_the_page():
    reader = read(EVERYTHING)
    assert reader.tags.count("svg") == 5
    said = " ".join(reader.said)
    for words in (
        "Failed",
        "Against the baseline",
        "By length",
        "Worst rows",
        "All 5 layers",
        "Model size",
        "avx2, masked",
    ):
        assert words in said
    for verdict in EVERYTHING.report.verdicts:
        assert verdict.metric in said
        assert verdict.note in said
    assert "0.91x as fast: int8 is slower" in said


def test_what_is_not_known_is_not_shown():
    said = " ".join(read(Page(CLASSIFIER)).said)
    for words in ("baseline", "By length", "Worst rows", "Layers", "Model size", "Time of one run", "The interval"):
        assert words not in said
    assert read(Page(CLASSIFIER)).tags.count("svg") == 1


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_any_text_shows_as_it_is(text):
    report = replace(PASSED, worst=(Example(text, text, text, text, 0.5),), dataset=text)
    reader = read(Page(replace(report, model=replace(PASSED.model, name=text)), target=text))
    assert reader.tags.count("bdi") >= 2
    shown = clean(text).replace("\r\n", "\n")
    if text.strip():
        assert shown in [said.replace("\r\n", "\n") for said in reader.said]
    else:
        assert reader.said.count("(empty)") == 4
    assert ("details" in reader.tags) == (len(text) > LONG and bool(text.strip()))


def test_the_same_page_gives_the_same_bytes():
    assert html(EVERYTHING) == html(EVERYTHING)


def test_layers_and_provenance_are_read_from_a_bundle_s_own_words():
    found = layers(
        {
            "embedding": [{"name": "e", "shape": [9, 2], "precision": "int8", "why": ["a", "b"], "sqnr_db": 40.0}],
            "linear": [
                {"name": "encoder.layer.10.out.dense/MatMul", "shape": [2, 2], "precision": "float", "why": ["c"]},
                {"name": "/model/layers.3/q/MatMul", "shape": [2, 2], "precision": "float", "why": ["c"]},
            ],
        }
    )
    assert [(layer.kind, layer.sqnr_db, layer.why) for layer in found] == [
        ("e", 40.0, "b"),
        ("out.dense", None, "c"),
        ("q", None, "c"),
    ]
    assert provenance({"built_by": "x", "calibration": {"rows": 3}, "list": ["a", "b"]}) == (
        ("built by", "x"),
        ("calibration rows", "3"),
        ("list", "a, b"),
    )


def luminance(colour: str) -> float:
    """Return a colour's relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    digits = colour.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart(scheme):
    """Letters have a contrast of 4.5 or more to what they stand on, marks in plots one of 3: WCAG 2.2 AA."""
    style = files("toolkit.report").joinpath("templates/page.css").read_text(encoding="utf-8")
    block = re.findall(r":root\{(.*?)\}", style, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+):(#[0-9a-f]+)", block))
    letters = [(name, on) for name in ("ink", "muted", "pass", "fail", "open") for on in ("card",)]
    letters += [("muted", "page"), ("fail", "fail-soft"), ("open", "open-soft")]
    letters += [(name, on) for name in ("ink", "muted") for on in ("fail-soft", "open-soft")]
    marks = [(name, "card") for name in ("fp32", "int8", "c0", "c1", "c2", "c3", "c4", "c5")]
    marks += [(name, on) for name in ("int8", "fail", "open") for on in ("pass-soft", "fail-soft")]
    for least, pairs in ((4.5, letters), (3.0, marks)):
        for front, back in pairs:
            dark, light = sorted((luminance(colours[front]), luminance(colours[back])))
            assert (light + 0.05) / (dark + 0.05) >= least, (front, back)
