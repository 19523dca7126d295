"""The CI templates do what they say: their own steps run here, as the CI systems run them."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.cli import ROOT, environment, recipe, workplace
from toolkit.cli import main

ACTION = yaml.safe_load((ROOT / "ci" / "github" / "action.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((ROOT / "ci" / "gitlab" / "edgequant-gate.yml").read_text(encoding="utf-8"))[".edgequant-gate"]
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
GITHUB_SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
GITLAB_SHELL = ("sh", "-e")
TOOLKIT = f'exec {sys.executable} -m toolkit.cli "$@"'


@dataclass(frozen=True)
class Ran:
    """What a job left behind."""

    code: int
    out: str
    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def failures(self) -> int:
        return int(ET.fromstring(self.text("edgequant-reports/junit.xml")).get("failures"))  # noqa: S314 - ours

    def reports(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "edgequant-reports").iterdir())


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Return a folder with a float model, a bundle of it, a set, and limits that it keeps and that it breaks."""
    place = workplace(tmp_path_factory.mktemp("models"))
    assert main(place.command()) == 0
    shutil.move(place.out, place.folder / "bundle with a space")
    for name, cosine in (("loose.toml", 0.5), ("strict.toml", 1.5)):
        text = recipe(cosine)
        place.write(name, "schema = 1\n" + text[text.index("[gate]") : text.index("[runtime]")])
    return place.folder


def run(script: str, shell: tuple[str, ...], folder: Path, command: str, variables: dict[str, str]) -> Ran:
    """Run a script as a file, ``edgequant`` being what ``command`` says."""
    commands = folder / "bin"
    commands.mkdir(parents=True, exist_ok=True)
    (commands / "edgequant").write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    (commands / "edgequant").chmod(0o755)
    path = folder / "step.sh"
    path.write_text(script, encoding="utf-8")
    found = {**environment(), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", **variables}
    done = subprocess.run(
        [*shell, str(path)], cwd=folder, env=found, capture_output=True, text=True, check=False, timeout=120
    )
    return Ran(done.returncode, done.stdout + done.stderr, folder)


def on_github(folder: Path, command: str = TOOLKIT, **inputs: str) -> Ran:
    """Run the action's judging step with its inputs put where the action puts them."""
    step = STEPS["Judge"]
    given = {name: str(value.get("default", "")) for name, value in ACTION["inputs"].items()} | inputs
    variables = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: given[match[1]], value)
        for name, value in step["env"].items()
    }
    files = {name: str(folder / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    folder.mkdir(exist_ok=True)
    for path in files.values():
        Path(path).touch()
    return run(step["run"], GITHUB_SHELL, folder, command, variables | files | {"GITHUB_ACTIONS": "true", "CI": "true"})


def on_gitlab(folder: Path, command: str = TOOLKIT, **variables: str) -> Ran:
    given = GITLAB["variables"] | {"EDGEQUANT_INSTALL": ""} | variables
    return run("\n".join(GITLAB["script"]), GITLAB_SHELL, folder, command, given | {"GITLAB_CI": "true", "CI": "true"})


def named(models: Path, limits: str) -> tuple[str, str, str, str]:
    return tuple(str(models / name) for name in ("bundle with a space", "model", "evaluation.csv", limits))


@pytest.mark.parametrize(("limits", "code", "outcome"), [("loose.toml", 0, "passed"), ("strict.toml", 3, "failed")])
def test_the_action_judges_and_leaves_every_report(models, tmp_path, limits, code, outcome):
    model, float_model, evaluation, limits = named(models, limits)
    ran = on_github(tmp_path, model=model, float=float_model, eval=evaluation, limits=limits)
    assert ran.code == code, ran.out
    assert ran.reports() == ["junit.xml", "report.html", "report.json"]
    assert json.loads(ran.text("edgequant-reports/report.json"))["passed"] is (code == 0)
    assert (ran.failures() > 0) == (code == 3)
    assert outcome.capitalize() in ran.text("edgequant-reports/report.html")
    assert ran.text("github_output") == f"outcome={outcome}\nreport=edgequant-reports/report.json\n"
    assert f"the gate {outcome}" in ran.text("github_step_summary").splitlines()[0]
    assert ("::error title=" in ran.out) == (code == 3)
    assert "::notice title=" in ran.out


def test_the_action_tells_an_error_from_a_failure_and_leaves_no_empty_report(models, tmp_path):
    ran = on_github(tmp_path, model=str(models / "nothing"), eval=str(models / "evaluation.csv"))
    assert ran.code in (1, 2), ran.out
    assert "error: " in ran.out
    assert ran.reports() == []
    assert ran.text("github_output").startswith("outcome=error\n")
    assert f"::error title=edgequant gate::Nothing could be judged (exit status {ran.code})" in ran.out


def test_the_action_fails_on_a_baseline_that_was_better(models, tmp_path):
    model, float_model, evaluation, limits = named(models, "loose.toml")
    before = json.loads((Path(model) / "manifest.json").read_bytes())["gate"]
    for verdict in before["verdicts"]:
        if verdict["metric"] == "sqnr_db":
            verdict["int8"] += 200.0
    baseline = tmp_path / "before.json"
    baseline.write_text(json.dumps(before), encoding="utf-8")
    same = {"model": model, "float": float_model, "eval": evaluation, "limits": limits}
    ran = on_github(tmp_path / "now", **same, against=str(baseline))
    assert ran.code == 3, ran.out
    assert "Worse than the baseline: sqnr_db." in ran.text("edgequant-reports/report.html")
    assert ran.failures() == 1


HOSTILE = "$(touch pwned)\"; touch pwned; `touch pwned` ' * #"
OPTIONS = {"eval": "--eval", "columns": "--columns", "limits": "--limits", "against": "--against", "on": "--on"}


@pytest.mark.parametrize("system", [on_github, on_gitlab])
def test_an_input_is_a_word_and_never_a_command(tmp_path, system):
    """In the command's place stands one that writes down how it was called."""
    names = ("model", "float", *OPTIONS)
    values = {name: f"{name} {HOSTILE}" for name in names}
    given = values if system is on_github else {f"EDGEQUANT_{name.upper()}": text for name, text in values.items()}
    ran = system(tmp_path, 'printf "%s\\n" "$@" > called; exit 3', **given)
    assert ran.code == 3, ran.out
    called = ran.text("called").splitlines()
    assert called[:3] == ["gate", values["model"], values["float"]]
    for name, option in OPTIONS.items():
        assert called[called.index(option) + 1] == values[name]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("system", [on_github, on_gitlab])
def test_what_is_not_given_is_left_to_the_command(tmp_path, system):
    given = {"model": "m"} if system is on_github else {"EDGEQUANT_MODEL": "m"}
    called = system(tmp_path, 'printf "%s\\n" "$@" > called', **given).text("called").splitlines()
    assert called[:2] == ["gate", "m"]
    assert set(OPTIONS.values()).isdisjoint(called)


def test_no_script_of_the_action_has_an_expression_in_it():
    for step in STEPS.values():
        assert "${{" not in step.get("run", "")
        assert step.get("shell") == "bash" or "uses" in step
    expressions = re.findall(r"inputs\.(\w+)", json.dumps(ACTION["runs"]))
    assert set(expressions) == set(ACTION["inputs"])  # every input is used, and none that is not declared


def test_the_artifact_is_kept_when_the_gate_fails():
    step = STEPS["Keep the reports"]
    assert step["if"].startswith("always()")
    assert step["uses"].startswith("actions/upload-artifact@v")
    assert step["with"]["path"] == "${{ inputs.reports }}"


@pytest.mark.parametrize(("limits", "code"), [("loose.toml", 0), ("strict.toml", 3)])
def test_the_gitlab_job_judges_and_leaves_every_report(models, tmp_path, limits, code):
    model, float_model, evaluation, limits = named(models, limits)
    ran = on_gitlab(
        tmp_path,
        EDGEQUANT_MODEL=model,
        EDGEQUANT_FLOAT=float_model,
        EDGEQUANT_EVAL=evaluation,
        EDGEQUANT_LIMITS=limits,
    )
    assert ran.code == code, ran.out
    assert ran.reports() == ["junit.xml", "report.html", "report.json", "summary.md"]
    assert (ran.failures() > 0) == (code == 3)
    for path in (GITLAB["artifacts"]["reports"]["junit"], *GITLAB["artifacts"]["paths"]):
        assert (tmp_path / path).exists()
    assert GITLAB["artifacts"]["when"] == "always"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs Debian's shellcheck")
@pytest.mark.parametrize(
    ("script", "shell"),
    [(step["run"], "bash") for step in STEPS.values() if "run" in step] + [("\n".join(GITLAB["script"]), "sh")],
)
def test_shellcheck_finds_nothing(script, shell):
    done = subprocess.run(
        ["shellcheck", "--shell", shell, "-"], input=script, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_documented_jobs_name_real_inputs():
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    github, gitlab = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    uses = next(step for step in github["jobs"]["gate"]["steps"] if step.get("id") == "gate")
    assert set(uses["with"]) <= set(ACTION["inputs"])
    assert set(gitlab["gate"]["variables"]) <= set(GITLAB["variables"])
    assert gitlab["gate"]["extends"] == ".edgequant-gate"
    table = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))))
    assert table == set(ACTION["inputs"])
