"""The command as a whole: what is done together, what fails alone, and what a kill leaves."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli import CLI, environment
from toolkit.cli import main
from toolkit.image.reading import open_layout
from toolkit.prepare import ImageOutcome, Outcome, Report, running
from toolkit.prepare.building import Mode, Step, attempt
from toolkit.prepare.pool import Room, run_units
from toolkit.progress import silent


@pytest.fixture
def in_turn(monkeypatch):
    """Do the units in this process: what is told here does not depend on processes, and starting them takes long."""

    def one_after_the_other(units, mode, _room, listener):
        outcomes = [attempt(unit, mode, silent) for unit in units]
        for unit, outcome in zip(units, outcomes, strict=True):
            listener(unit.title, outcome)
        return outcomes

    monkeypatch.setattr(running, "run_units", one_after_the_other)


def results(report):
    return {one["model"]: one["result"] for one in report["models"]}


def test_models_are_built_at_once_and_put_into_one_image(tiny, capsys):
    code, report, err = tiny.run(capsys)
    assert code == 0
    assert results(report) == {"encoder": "built", "feelings": "built"}
    assert {"encoder for x86-avx2: observe activations", "image for linux/amd64"} <= set(err.splitlines())
    assert report["models"][1]["task"] == "classification"
    assert report["models"][1]["gate"]["passed"] is True
    with open_layout(tiny.out / "image") as layout:
        assert layout.digest == report["image"]["digest"]
        assert layout.name == "tiny:latest"
    assert not [name for name in tiny.files() if ".partial-" in name]


@pytest.mark.usefixtures("in_turn")
def test_dry_run_then_run_then_nothing_to_do_then_one_model(tiny, capsys):
    before = tiny.files()
    code, report, err = tiny.run(capsys, "--dry-run")
    assert (code, err) == (0, "")
    assert results(report) == {"encoder": "to build", "feelings": "to build"}
    assert report["image"]["result"] == "to build"
    assert tiny.files() == before

    assert tiny.run(capsys)[0] == 0
    made = tiny.files()
    assert main(tiny.command()) == 0
    assert capsys.readouterr().out.count("up to date") == 3
    assert tiny.files() == made

    tiny.change("[image]", '[image]\nlabels = { maker = "me" }')
    shutil.rmtree(tiny.out / "feelings-x86-avx2")
    code, report, _ = tiny.run(capsys, "--only", "feelings")
    assert (code, results(report)) == (0, {"feelings": "built"})
    assert report["image"]["result"] == "skipped"
    assert "--only" in report["image"]["why"]
    code, report, _ = tiny.run(capsys, "--dry-run")
    assert results(report) == {"encoder": "up to date", "feelings": "up to date"}
    assert report["image"]["why"] == "changed: labels"


@pytest.mark.usefixtures("in_turn")
def test_one_failing_gate_and_one_missing_model_stop_nobody_else(tiny, capsys):
    (tiny.root / "limits.toml").write_text("schema = 1\n[gate.classification]\nlabel_flips = { max = -1.0 }\n")
    tiny.change('model = "feelings"', 'model = "feelings"\nlimits = "limits.toml"\ndecision = "point"')
    code, report, _ = tiny.run(capsys)
    assert (code, results(report)) == (3, {"encoder": "built", "feelings": "gate failed"})
    assert report["image"]["result"] == "skipped"
    assert "feelings for x86-avx2" in report["image"]["why"]
    assert not (tiny.out / "image").exists()

    tiny.change('model = "feelings"', 'model = "./nowhere"')
    assert main(tiny.command()) == 1
    out, err = capsys.readouterr()
    assert "up to date" in out
    assert "FAILED" in out
    assert "feelings for x86-avx2: there is no such model" in err


def test_what_is_wrong_with_the_whole_is_told_before_anything_is_done(tiny, capsys):
    for more, words in (
        (("--only", "encodre"), "did you mean 'encoder'"),
        (("--local", "feeling=x"), "did you mean 'feelings'"),
    ):
        assert main(tiny.command(*more)) == 2
        assert words in capsys.readouterr().err
    assert not tiny.out.exists()


def test_two_runs_do_not_meet(tiny, capsys):
    first = subprocess.Popen([*CLI, *tiny.command()], env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        assert "observe" in first.stderr.readline()
        assert main(tiny.command()) == 2
        assert "another run prepares a stack there" in capsys.readouterr().err
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
    assert first.returncode == 143
    assert not multiprocessing.active_children()
    assert [name for name in tiny.files() if name.startswith("out/") and ".partial-" in name] == []


@pytest.mark.usefixtures("in_turn")
def test_a_killed_run_is_taken_up_where_it_was(tiny, capsys):
    with subprocess.Popen(
        [*CLI, *tiny.command("--jobs", "1")], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    ) as running:  # fmt: skip
        first = next(line for line in running.stderr if ": built" in line).split()[0]
        running.kill()
        running.stderr.read()  # until its process has ended too
    half = tiny.out / ".feelings-x86-avx2.partial-x"
    half.mkdir(exist_ok=True)
    (half / "model.onnx").write_bytes(b"half")
    (tiny.out / ".image.tar.partial-x").write_bytes(b"half")
    stamps = {path.name: path.stat().st_mtime_ns for path in tiny.out.glob(f"{first}-*.stamp.json")}
    assert len(stamps) == 1
    code, report, _ = tiny.run(capsys)
    assert code == 0
    assert results(report)[first] == "up to date"
    assert report["image"]["result"] == "built"
    assert {path.name: path.stat().st_mtime_ns for path in tiny.out.glob(f"{first}-*.stamp.json")} == stamps
    assert [path.name for path in tiny.out.iterdir() if ".partial-" in path.name] == []


def test_a_process_that_is_killed_fails_alone(tiny):
    """The system ends what takes too much memory by SIGKILL."""

    def listener(title, what):
        if isinstance(what, Step) and title.startswith("feelings"):
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)

    units = tiny.units()
    assert not run_units(units[:0], Mode(), Room(2, 2, None), listener)
    (outcome,) = run_units(units[1:], Mode(), Room(2, 2, 1), listener)
    assert outcome.result == "failed"
    assert "by signal 9; was it short of memory?" in outcome.why
    assert outcome.seconds > 0


@pytest.mark.parametrize(
    ("found", "image", "code"),
    [
        (["built", "up to date"], "built", 0),
        (["to build"], "to build", 0),
        (["built", "gate failed"], "skipped", 3),
        (["failed", "gate failed"], "skipped", 1),
        (["built"], "failed", 1),
    ],
)
def test_exit_code(found, image, code):
    models = tuple(Outcome("m", "t", result, "") for result in found)
    report = Report("s", Path("out"), models, ImageOutcome(image, ""), {})
    assert report.exit_code == code
    assert json.loads(json.dumps(report.as_dict()))["passed"] is (code == 0)


@pytest.mark.usefixtures("in_turn")
def test_a_fallback_of_another_task_is_no_fallback(tiny, capsys):
    tiny.change('model = "feelings"', 'model = "feelings"\nfallback_for = "encoder"')
    code, report, _ = tiny.run(capsys)
    assert code == 1
    assert report["fallbacks"] == {"feelings": "encoder"}
    assert "a fallback has another task than the model it stands in for" in report["image"]["why"]
