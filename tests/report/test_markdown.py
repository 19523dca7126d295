from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from tests.report.pages import FAILED, NASTY, PAGES, PASSED
from toolkit.gate import Example
from toolkit.report.markdown import EXAMPLES, LENGTH, escaped, markdown
from toolkit.report.page import Page
from toolkit.report.text import clean, shortened


class Reader(HTMLParser):
    """Collects the tags and the cells of what a reader of markdown makes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.inside = False

    def handle_starttag(self, tag, attrs):  # noqa: ARG002
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.inside = True
            self.cells.append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))
    return reader


OURS = {"h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "strong", "em", "br", "details", "summary", "wbr"}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_it_is_markdown_that_shows_nothing_but_our_own_elements(page):
    reader = read(markdown(page))
    assert set(reader.tags) <= OURS
    assert reader.tags.count("h2") == 1
    for verdict in page.report.verdicts:
        assert any(cell.startswith(verdict.metric) for cell in reader.cells)


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_text_shows_as_it_is_on_one_line_of_a_table(text):
    reader = read(f"| a | b |\n| --- | --- |\n| {escaped(text)} | end |")
    assert reader.cells == ["a", "b", " ".join(clean(text).split()), "end"]
    assert set(reader.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "wbr"}


def test_it_begins_with_the_answer():
    assert markdown(Page(PASSED)).startswith("## ✅ mini: the gate passed\n")
    assert markdown(Page(FAILED, target="x86-avx2")).startswith("## ❌ mini for x86-avx2: the gate failed\n")
    assert "on avx2 (masked)" in markdown(Page(FAILED))


def test_examples_are_few_and_cut():
    many = tuple(Example("word " * 20_000, "x" * 100_000, "y" * 9, "z", 1.0) for _ in range(500))
    made = markdown(Page(replace(FAILED, worst=many)))
    assert made.count("yyyyyyyyy") == EXAMPLES
    assert len(made.encode()) < 64 * 1024  # GitHub takes 1 MiB
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
    assert "x" * LENGTH not in made
