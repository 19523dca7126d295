"""JUnit XML, as Jenkins, GitLab and GitHub's test reporters read it: one test case a verdict.

The dialect is the common core of those readers: testsuites, testsuite, testcase with failure or skipped, no times.
"""

from xml.etree import ElementTree as ET

from toolkit.report.page import Page
from toolkit.report.text import clean
from toolkit.report.words import Check, checks


def junit(page: Page) -> str:
    """Return the file: a failed or undecided verdict is a failure, what was not measured is skipped."""
    report = page.report
    suite = ET.Element("testsuite", name=clean(f"edgequant gate: {page.title}"))
    _properties(suite, page)
    for check in checks(report):
        _case(suite, report.task, check)
    counts = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "errors": 0,
        "skipped": len(suite.findall("testcase/skipped")),
    }
    root = ET.Element("testsuites", name="edgequant")
    root.append(suite)
    for element in (root, suite):
        element.attrib |= {name: str(count) for name, count in counts.items()} | {"time": "0"}
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _properties(suite: ET.Element, page: Page) -> None:
    report = page.report
    facts = {
        "dataset": report.dataset,
        "dataset_sha256": report.dataset_digest,
        "rows": report.rows,
        "fp32_sha256": report.model.fp32,
        "int8_sha256": report.model.int8,
        "isa": "" if report.place is None else f"{report.place.isa} ({report.place.how})",
    }
    properties = ET.SubElement(suite, "properties")
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=name, value=clean(str(value)))


def _case(suite: ET.Element, task: str, check: Check) -> None:
    case = ET.SubElement(suite, "testcase", classname=f"edgequant.{check.group}.{task}", name=check.name, time="0")
    sentence = clean(check.sentence)
    if check.outcome in ("fail", "undecided"):
        ET.SubElement(case, "failure", type=check.outcome, message=sentence).text = sentence
    elif check.outcome == "not measured":
        ET.SubElement(case, "skipped", message=sentence)
    else:
        ET.SubElement(case, "system-out").text = sentence
