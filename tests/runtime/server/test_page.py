"""What docs/server.md shows works as it stands."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import toolkit
from toolkit.runtime.server.limits import Limits

PAGE = (Path(toolkit.__file__).parent.parent / "docs/server.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
CURLS = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("command", CURLS, ids=lambda command: re.search(r"8080(\S+)", command)[1])
def test_the_examples_are_answered(server, command):
    there = command.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{server.address[1]}")
    there = there.replace("curl -s ", "curl -s --fail ")
    done = subprocess.run(["sh", "-c", there], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout
    if "/metrics" in command:
        assert "edgequant_requests_total" in done.stdout
    else:
        assert "error" not in json.loads(done.stdout)


def test_the_examples_are_found():
    assert len(CURLS) == 9


def test_numbers_are_the_codes():
    limits = Limits()
    assert f"at most {limits.batch_tokens} tokens at a time" in PAGE
    assert f"held to {limits.max_bodies >> 20} MiB" in PAGE
