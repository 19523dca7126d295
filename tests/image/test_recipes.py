"""Dockerfile.arm64 and compose.yaml: they say what ``edgequant image`` says, and other tools can read them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit.image.config import ENVIRONMENT, PORT
from toolkit.image.rootfs import USER

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile.arm64").read_text(encoding="utf-8")


def test_the_dockerfile_starts_as_an_image_does():
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :].replace("\\\n", " ")
    said = dict(re.findall(r"([A-Z_]+)=(\S+)", last[last.index("\nENV ") : last.index("\nCOPY ")]))
    assert said == {name: value for name, value in ENVIRONMENT.items() if name != "PATH"}
    assert f"\nUSER {USER}:{USER}\n" in last
    assert f"\nEXPOSE {PORT}\n" in last
    assert json.loads(re.search(r"\nENTRYPOINT (.*)\n", last)[1])[1:] == ["-m", "toolkit.runtime"]
    assert json.loads(re.search(r"\nCMD (.*)\n", last)[1])[:3] == ["serve", "/bundles", "--host"]
    assert '"toolkit.runtime", "health"]' in re.search(r"\nHEALTHCHECK (.*)\n", last)[1]


def test_what_the_dockerfile_copies_is_there():
    for source in re.findall(r"^COPY (?:--from=build )?(\S+)", DOCKERFILE, flags=re.MULTILINE):
        assert source.startswith(("/", "$")) or (ROOT / source).exists(), source


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_compose_reads_its_file():
    command = ["docker-compose", "-f", str(ROOT / "compose.yaml"), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "models:/bundles" in done.stdout
    assert "read_only: true" in done.stdout
