"""``--html``, ``--junit``, ``--markdown``, ``--github`` and ``edgequant report``."""

import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

from tests.cli import Workplace, recipe, workplace
from tests.report.pages import FAILED, PASSED
from toolkit.cli import main
from toolkit.cli.outputs import SUMMARY
from toolkit.report.schema import SCHEMA


def forms(folder: Path) -> list[str]:
    return [
        *("--html", str(folder / "page.html")),
        *("--junit", str(folder / "junit.xml")),
        *("--markdown", str(folder / "summary.md")),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Workplace, str]:
    """Return where a bundle was made, and what --json printed."""
    place = workplace(tmp_path_factory.mktemp("made"))
    out = place.folder / "printed.json"
    with pytest.MonkeyPatch.context() as patch, out.open("w", encoding="utf-8") as handle:
        patch.setattr("sys.stdout", handle)
        assert main(place.command("--json", *forms(place.folder))) == 0
    return place, out.read_text(encoding="utf-8")


def stored(folder: Path, report) -> Path:
    path = folder / "report.json"
    path.write_text(json.dumps(report.as_dict()), encoding="utf-8")
    return path


def cases_of(path: Path) -> ET.Element:
    return ET.fromstring(path.read_bytes())  # noqa: S314 - ours


def test_quantize_writes_what_it_says_in_all_forms(made):
    place, printed = made
    page = (place.folder / "page.html").read_text(encoding="utf-8")
    for words in ("Passed", "Layers", "linear layers, int8", "built by", "calibration name"):
        assert words in page
    report = json.loads(printed)["gate"]
    assert int(cases_of(place.folder / "junit.xml").get("tests")) == len(report["verdicts"])
    assert (place.folder / "summary.md").read_text(encoding="utf-8").startswith("## ✅")


def test_what_quantize_prints_and_what_a_bundle_keeps_are_valid(made):
    place, printed = made
    validator = Draft202012Validator(json.loads(SCHEMA))
    validator.validate(json.loads(printed)["gate"])
    validator.validate(json.loads((place.out / "manifest.json").read_bytes())["gate"])


def test_reports_are_written_when_the_gate_fails(tmp_path, capsys, monkeypatch):
    place = workplace(tmp_path)
    place.write("strict.toml", recipe(cosine=1.5))
    monkeypatch.setenv(SUMMARY, str(tmp_path / "step.md"))
    command = place.command("--json", "--github", *forms(tmp_path), target=tmp_path / "strict.toml")
    assert main(command) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["gate"]["passed"] is False  # stdout is data alone
    assert "Failed" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert int(cases_of(tmp_path / "junit.xml").get("failures")) > 0
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("## ❌")
    assert (tmp_path / "step.md").read_text(encoding="utf-8").startswith("## ❌")
    assert "\n::error title=" in err


@pytest.mark.parametrize("source", ["bundle", "printed", "gate"])
def test_a_stored_report_is_rendered(made, tmp_path, source):
    place, printed = made
    paths = {"bundle": place.out, "printed": tmp_path / "printed.json", "gate": tmp_path / "gate.json"}
    paths["printed"].write_text(printed, encoding="utf-8")
    paths["gate"].write_text(json.dumps(json.loads(printed)["gate"]), encoding="utf-8")
    assert main(["report", str(paths[source]), *forms(tmp_path)]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ("linear layers, int8" in page) == (source == "bundle")
    assert ("Worst rows" in page) == (source != "bundle")
    written = (place.folder / "junit.xml").read_text(encoding="utf-8").splitlines()
    again = (tmp_path / "junit.xml").read_text(encoding="utf-8").splitlines()
    assert again[4:] == written[4:]  # the title alone names no target in a report without its bundle


def test_without_a_form_it_prints_the_table_and_a_failed_report_is_no_failure_to_render(tmp_path, capsys):
    assert main(["report", str(stored(tmp_path, FAILED))]) == 0
    out, _ = capsys.readouterr()
    assert "UNDECIDED" in out
    assert "against the baseline" in out
    assert "−1.20 … −0.80" in out  # noqa: RUF001


def test_a_dash_is_stdout(tmp_path, capfdbinary):
    assert main(["report", str(stored(tmp_path, PASSED)), "--markdown", "-"]) == 0
    assert capfdbinary.readouterr().out.startswith("## ✅ mini: the gate passed\n".encode())


def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path / "closed")  # root may write anywhere
    (tmp_path / "closed").mkdir()
    assert main(["report", str(stored(tmp_path, PASSED)), "--html", str(tmp_path / "closed" / "page.html")]) == 2
    assert "nothing may be written" in capsys.readouterr().err


def test_the_schema_is_printed(capsys):
    assert main(["report", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$id"] == "urn:edgequant:gate-report:1"


def test_a_step_s_summary_is_added_to(tmp_path, capsys, monkeypatch):
    summary = tmp_path / "step.md"
    summary.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv(SUMMARY, str(summary))
    for _ in range(2):
        assert main(["report", str(stored(tmp_path, PASSED)), "--github"]) == 0
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n## ✅")
    assert text.count("## ✅") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("::notice title=mini%3A the gate passed::") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--html", "missing/page.html"], "the folder of --html is missing"),
        (["--junit", "."], "--junit needs the name of a file"),
        (["--markdown", ""], "--markdown needs the name of a file"),
        (["--github"], "--github is for a step of a GitHub job"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_work(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.delenv(SUMMARY, raising=False)
    monkeypatch.chdir(tmp_path)
    place = workplace(tmp_path / "w")
    assert main(["report", str(stored(tmp_path, PASSED)), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert main(place.command(*arguments)) == 2
    _, err = capsys.readouterr()
    assert said in err
    assert "observe" not in err
    assert not place.out.exists()


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, 2, "cannot be read"),
        ("{", 1, "not valid JSON"),
        ("[]", 1, "not a gate report"),
        ("{}", 1, "another schema"),
        ('{"gate": {"schema": 1}}', 1, "missing key 'task'"),
    ],
)
def test_what_is_no_report_is_told(tmp_path, capsys, content, code, said):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert main(["report", str(path)]) == code
    assert said in capsys.readouterr().err


def test_no_report_at_all_is_a_usage_error(capsys):
    assert main(["report"]) == 2
    assert "no report is named" in capsys.readouterr().err


def test_a_bundle_without_its_model_is_told(made, tmp_path, capsys):
    place, _ = made
    for path in place.out.iterdir():
        if path.name != "model.onnx":
            os.link(path, tmp_path / path.name)
    assert main(["report", str(tmp_path)]) == 1
    assert "the bundle's model cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("schema", [1, 0])
def test_the_gate_writes_what_it_says_of_a_bundle_whatever_the_bundle_holds_of_an_earlier_one(made, tmp_path, schema):
    place, _ = made
    bundle = shutil.copytree(place.out, tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["gate"]["schema"] = schema
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (bundle / "manifest.json.sha256").unlink()
    judged = [str(bundle), str(place.folder / "model"), "--eval", str(place.folder / "evaluation.csv")]
    assert main(["gate", *judged, "--decision", "point", "--threads", "1", *forms(tmp_path)]) in (0, 3)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for words in ("for loose", "Worst rows", "linear layers, float", "linear layers, int8", "All 1"):
        assert words in page
    assert cases_of(tmp_path / "junit.xml").find("testsuite") is not None
