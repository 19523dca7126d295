"""What docs/server.md shows works as it stands."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import toolkit
from tests.runtime.lm import lm_parts
from tests.runtime.server import start
from toolkit.runtime.server.limits import Limits

PAGE = (Path(toolkit.__file__).parent.parent / "docs/server.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
CURLS = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture(scope="module")
def everything(bundles, tmp_path_factory):
    """A server that can do all that the page shows."""
    writer = lm_parts(context=256).write(tmp_path_factory.mktemp("lm") / "stories")
    started = start(bundles, writer, "--threads", "1")
    yield started
    assert started.stop() == 0


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("command", CURLS, ids=lambda command: re.search(r"8080(\S+)", command)[1])
def test_the_examples_are_answered(everything, command):
    there = command.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{everything.address[1]}")
    there = there.replace("curl -s", "curl --fail -s")
    done = subprocess.run(["sh", "-c", there], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout
    if "/metrics" in command:
        assert "edgequant_requests_total" in done.stdout
    elif '"stream": true' in command:
        assert done.stdout.endswith("data: [DONE]\n\n")
    else:
        assert "error" not in json.loads(done.stdout)


def test_the_examples_are_found():
    assert len(CURLS) == 11


def test_numbers_are_the_codes():
    limits = Limits()
    assert f"at most {limits.batch_tokens} tokens at a time" in PAGE
    assert f"held to {limits.max_bodies >> 20} MiB" in PAGE
