import re
from dataclasses import replace

import pytest

from tests.report.pages import FAILED, NASTY, PASSED
from toolkit.gate import Verdict
from toolkit.report.annotations import AT_MOST, annotations
from toolkit.report.page import Page

COMMAND = re.compile(r"^::(?P<command>[a-z]+) (?P<properties>[^:]*)::(?P<data>.*)$")


def parsed(printed: str) -> list[tuple[str, str, str]]:
    """Return command, title and message of each line, unescaped as the runner does."""
    found = []
    for line in printed.splitlines():
        match = COMMAND.match(line)
        assert match, line
        key, _, title = match["properties"].partition("=")
        assert key == "title"
        assert "," not in title  # else the runner reads another property
        found.append((match["command"], unescaped(title), unescaped(match["data"])))
    return found


def unescaped(text: str) -> str:
    for sign in ("\r", "\n", ":", ",", "%"):
        text = text.replace(f"%{ord(sign):02X}", sign)
    return text


def test_failures_are_errors_what_was_not_measured_a_warning_and_the_answer_a_notice():
    found = parsed(annotations(Page(FAILED, target="x86-avx2")))
    assert [command for command, _, _ in found] == ["error", "error", "error", "warning", "notice"]
    assert found[0][1] == "mini for x86-avx2: spearman"
    assert "95 % interval" in found[0][2]
    assert found[1][1] == "mini for x86-avx2: cosine_p1"
    assert "400 more rows" in found[1][2]
    assert found[-1][1] == "mini for x86-avx2: the gate failed"


def test_a_passed_gate_is_one_notice():
    assert [(command, title) for command, title, _ in parsed(annotations(Page(PASSED)))] == [
        ("notice", "mini: the gate passed")
    ]


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_text_can_neither_end_a_command_nor_start_another(text):
    report = replace(
        PASSED,
        verdicts=(Verdict("spearman", 0.8, 0.7, {}, "fail", text),),
        model=replace(PASSED.model, name=text),
    )
    found = parsed(annotations(Page(report)))
    assert [command for command, _, _ in found] == ["error", "notice"]
    assert all(word in found[0][2] and word in found[0][1] for word in text.split() if word.isalnum())


def test_a_step_shows_ten_of_a_kind_so_the_last_one_names_the_rest():
    def failed(count: int) -> list[tuple[str, str, str]]:
        many = tuple(Verdict(f"metric_{number}", None, 0.0, {"min": 1}, "fail") for number in range(count))
        return [item for item in parsed(annotations(Page(replace(PASSED, verdicts=many)))) if item[0] == "error"]

    assert len(failed(AT_MOST)) == AT_MOST
    assert "and" not in failed(AT_MOST)[-1][2]
    assert len(failed(AT_MOST + 2)) == AT_MOST
    assert failed(AT_MOST + 2)[-1][2] == "and 3 more: metric_9, metric_10, metric_11"
