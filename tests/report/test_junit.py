from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from tests.report.pages import BROKEN, FAILED, NASTY, PAGES, PASSED
from toolkit.gate import Verdict
from toolkit.report.junit import junit
from toolkit.report.page import Page


def read(text: str | bytes) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - ours


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_it_has_the_structure_that_its_readers_expect(page):
    root = read(junit(page))
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    assert next(child.tag for child in suite) == "properties"
    cases = suite.findall("testcase")
    assert len(cases) == len(page.report.verdicts) + len(page.report.trend)
    for element in (root, suite):
        assert element.get("name")
        assert element.get("errors") == "0"
        assert int(element.get("tests")) == len(cases)
        assert int(element.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(element.get("skipped")) == len(suite.findall("testcase/skipped"))
    for case in cases:
        assert case.get("name")
        assert case.get("classname")
        assert float(case.get("time")) == 0
        assert len(case) == 1
        assert case[0].tag in ("failure", "skipped", "system-out")
    twins = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(twins)) == len(twins)


def test_what_stops_the_build_is_a_failure_with_its_sentence_and_what_was_not_measured_is_skipped():
    suite = read(junit(Page(FAILED)))[0]
    found = {
        (case.get("classname").split(".")[1], case.get("name")): (case[0].tag, case[0].get("type"))
        for case in suite.findall("testcase")
    }
    assert found["gate", "spearman"] == ("failure", "fail")
    assert found["gate", "cosine_p1"] == ("failure", "undecided")
    assert found["gate", "cosine_mean"] == ("skipped", None)
    assert found["gate", "sqnr_db"] == ("system-out", None)
    assert found["baseline", "spearman"] == ("failure", "fail")
    message = suite.find("testcase[@name='spearman']/failure").get("message")
    assert "81.00 against 82.00" in message
    assert "drops by more than 0.003" in message


def test_a_passed_gate_has_no_failure_and_a_model_of_nan_has_one():
    assert read(junit(Page(PASSED))).get("failures") == "0"
    assert read(junit(Page(BROKEN))).get("failures") == "1"


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_any_text_makes_a_file_that_xml_readers_take(text):
    verdict = Verdict("spearman", 0.8, 0.7, {}, "fail", text)
    report = replace(PASSED, verdicts=(verdict,), dataset=text, model=replace(PASSED.model, name=text))
    root = read(junit(Page(report)).encode())
    assert [element.tag for element in root.iter()].count("testcase") == 1
    said = root.find(".//failure").text
    assert said == root.find(".//failure").get("message") or "\n" in text  # attributes hold no line breaks
    assert all(word in said for word in text.split() if word.isalnum())


def test_the_same_page_gives_the_same_bytes():
    assert junit(PAGES["everything"]) == junit(PAGES["everything"])
