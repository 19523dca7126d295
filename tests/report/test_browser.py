"""The page in Debian's chromium: what it shows, what it says on the console, what it asks the network for."""

import re
from html import unescape

import pytest

from tests.report.browser import CHROMIUM, corner, look, picture, without_scripts
from tests.report.pages import EVERYTHING, PAGES
from toolkit.report.html import html

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html(EVERYTHING), encoding="utf-8")
    return path


def words(dom: str) -> str:
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", dom, flags=re.DOTALL)).split())


@pytest.mark.parametrize("dark", [False, True])
def test_it_loads_without_a_word_on_the_console_or_a_request(page, tmp_path, dark):
    seen = look(page, tmp_path, dark=dark)
    assert seen.console == ()
    assert seen.requests == ()
    assert seen.dom.count("<svg") == 5
    assert "1 of 6 limits broken: spearman." in words(seen.dom)


def test_it_reads_the_same_with_scripts_switched_off(page, tmp_path):
    active = tmp_path / "active.html"
    active.write_text("<title>still</title><script>document.title = 'ran'</script>", encoding="utf-8")
    assert "<title>ran" in look(active, tmp_path).dom
    without_scripts(tmp_path)
    assert "<title>still" in look(active, tmp_path).dom
    assert words(look(page, tmp_path).dom) == words(page.read_text(encoding="utf-8"))


def test_dark_is_dark_and_light_is_light(page, tmp_path):
    assert min(corner(picture(page, tmp_path))) > 200
    assert max(corner(picture(page, tmp_path, dark=True))) < 60


@pytest.mark.parametrize("width", [360, 800])
def test_it_does_not_scroll_sideways(page, tmp_path, width):
    """A copy without the policy, in a frame of that width, with a script that measures and tells the frame's owner."""
    text = page.read_text(encoding="utf-8").replace('http-equiv="Content-Security-Policy"', 'name="none"')
    tell = "<script>parent.postMessage(document.scrollingElement.scrollWidth, '*')</script>"
    (tmp_path / "measured.html").write_text(text.replace("</body>", f"{tell}</body>"), encoding="utf-8")
    frame = tmp_path / "frame.html"
    hear = "<script>onmessage = event => document.title = event.data</script>"
    frame.write_text(f'{hear}<iframe src="measured.html" width="{width}" height="900"></iframe>', encoding="utf-8")
    assert f"<title>{width}</title>" in look(frame, tmp_path).dom


@pytest.mark.parametrize("name", ["passed", "broken"])
def test_reports_with_little_to_say_load(name, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(html(PAGES[name]), encoding="utf-8")
    seen = look(path, tmp_path)
    assert (seen.console, seen.requests) == ((), ())


def test_the_checks_see_a_bad_page(tmp_path):
    path = tmp_path / "bad.html"
    path.write_text('<img src="http://example.invalid/x.png"><script>console.error("bad")</script>', encoding="utf-8")
    seen = look(path, tmp_path)
    assert seen.requests == ("http://example.invalid/x.png",)
    assert '"bad"' in seen.console[0]


def test_the_policy_stops_what_a_page_should_not_hold(page, tmp_path):
    path = tmp_path / "altered.html"
    foreign = '<img src="http://example.invalid/x.png"><script>document.title = "ran"</script>'
    path.write_text(page.read_text(encoding="utf-8").replace("<main>", f"<main>{foreign}"), encoding="utf-8")
    seen = look(path, tmp_path)
    assert "<title>ran" not in seen.dom
    assert "http://example.invalid/x.png" not in seen.requests
    assert any("Content Security Policy" in line for line in seen.console)
