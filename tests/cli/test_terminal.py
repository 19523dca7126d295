"""What a person at a terminal sees: bars on stderr, colours unless NO_COLOR says otherwise, Ctrl-C obeyed."""

import os
import pty
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.cli import CLI, Workplace, environment, workplace
from toolkit.cli import main

STEPS = ("observe activations", "plan int8 layers", "evaluate fp32", "evaluate int8")


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return workplace(tmp_path)


def at_terminal(arguments: list[str], out: Path, **variables: str) -> tuple[int, str, str]:
    """Run the command with stderr on a terminal and stdout in a file; return exit code, stdout and stderr."""
    screen, terminal = pty.openpty()
    clean = {name: value for name, value in environment().items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    known = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    with out.open("wb") as stdout:
        running = subprocess.Popen([*CLI, *arguments], stdout=stdout, stderr=terminal, env=clean | known | variables)
    os.close(terminal)
    shown = b""
    while part := read(screen):
        shown += part
    os.close(screen)
    return running.wait(timeout=60), out.read_text(encoding="utf-8"), shown.decode()


def read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # Linux says EIO when the other side has closed
        return b""


def test_a_terminal_shows_a_bar_for_each_step(place):
    code, out, err = at_terminal(place.command(), place.folder / "stdout")
    assert code == 0
    for step in STEPS:
        assert step in err
    assert "━" in err
    assert "\x1b[" in err
    assert "\x1b" not in out
    assert "━" not in out


def test_no_color_leaves_the_bars_and_takes_the_colours(place):
    colour = "\x1b[3"  # SGR 30 to 39: a foreground colour, ECMA-48 8.3.117
    _, _, coloured = at_terminal(place.command(), place.folder / "stdout")
    code, _, plain = at_terminal(place.command("--force"), place.folder / "stdout", NO_COLOR="1")
    assert code == 0
    assert colour in coloured
    assert colour not in plain
    assert "━" in plain


def test_ctrl_c_ends_in_a_word_and_leaves_nothing(place):
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs inherit that it is not
    with subprocess.Popen(
        [*CLI, *place.command()],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeded,  # noqa: PLW1509 - no thread runs here
    ) as running:
        first = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert first.strip() == STEPS[0]
    assert running.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert place.left() == []


def test_full_stdout_is_a_failure_in_words():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*CLI, "targets"], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment()
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: no space left on device", "  hint: free some space, or write elsewhere"]


@pytest.mark.parametrize(
    ("calibration", "columns"),
    [
        ("texts.txt", "text=body,text2=other,score=rating"),  # a txt file has no columns
        ("bodies.csv", "text=body,label=rating"),  # a calibration set needs no labels
    ],
)
def test_columns_are_asked_for_only_where_they_matter(place, calibration, columns):
    texts = [f"the {word} sat" for word in ("cat", "dog", "tree", "mat")]
    place.write("texts.txt", "\n".join(texts) + "\n")
    place.write("bodies.csv", "body\n" + "\n".join(texts) + "\n")
    rated = place.write("rated.csv", "body,other,rating\nbig dog,big cat,1\nred mat,tree,2\nbad dog,mat,0\n")
    assert main(place.command("--columns", columns, calibration=place.folder / calibration, eval=rated)) == 0
