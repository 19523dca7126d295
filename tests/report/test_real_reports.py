"""Reports of real runs, one of each task: valid by the schema, read back, and shown in every form."""

import json

import pytest
from jsonschema import Draft202012Validator

from tests.jobs import tiny_job, write_lines
from tests.models import WORDS
from toolkit.report.schema import SCHEMA

TASKS = {
    "embedding": (
        None,
        [{"text": f"the {one}", "text2": f"a {one} {place}", "score": place} for place, one in enumerate(WORDS)],
    ),
    "classification": (
        "classifier",
        [{"text": f"the {one} was {two}", "label": place % 3} for place, one in enumerate(WORDS) for two in WORDS[:3]],
    ),
    "multi-label": ("multi_label", [{"text": f"a {one} ran"} for one in WORDS]),
    "reranking": (
        "reranker",
        [{"text": f"the {one}", "text2": "is red", "score": place} for place, one in enumerate(WORDS)],
    ),
    "token-classification": (
        "tokens",
        [{"tokens": ["a", one, two], "tags": ["O", "B-x", "I-x"]} for one in WORDS for two in WORDS[:4]],
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_real_report_is_valid_and_shown_in_every_form(tmp_path, capsys, task):
    head, rows = TASKS[task]
    folder = tiny_job(tmp_path, head=head)
    evaluation = write_lines(tmp_path / "rows.jsonl", rows)
    forms = {name: tmp_path / f"report.{name}" for name in ("html", "junit", "markdown")}
    assert folder.quantize("--json", eval=evaluation, **forms) == 0
    report = json.loads(capsys.readouterr().out)["gate"]
    validator = Draft202012Validator(json.loads(SCHEMA))
    validator.validate(report)
    kept = json.loads((folder.out / "manifest.json").read_bytes())["gate"]
    validator.validate(kept)
    assert report["worst"]
    for path in forms.values():
        text = path.read_text(encoding="utf-8").replace("\\_", "_")
        assert all(verdict["metric"] in text for verdict in report["verdicts"])
