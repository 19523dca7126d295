"""The guide for those who come from transformers: every snippet of ours runs, with tiny models, in the page's order."""

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.jobs import LOOSE_GATE, recipe_with, sentences, write_lines
from tests.models import sentence_transformer, tiny_bert
from toolkit.errors import EdgequantError
from toolkit.image.platforms import PLATFORMS
from toolkit.image.rootfs import Sources, choose_parts
from toolkit.runtime import cpu

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/migration.md"
STORIES = ROOT / "tests/golden/stories260k"
TARGET = "arm64-neon" if cpu.architecture() == "arm64" else "x86-avx2"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after it, where it starts, and the text."""

    language: str
    words: tuple[str, ...]
    line: int
    text: str


def blocks():
    page = PAGE.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield Block(found[1], tuple(found[2].split()), page[: found.start()].count("\n") + 1, found[3])


OURS = [block for block in blocks() if block.words[:1] == ("after",)]


@dataclass(frozen=True)
class App:
    """A folder as the page supposes it, and how its commands find what they name."""

    folder: Path
    port: int

    def run(self, block):
        """Run a block and return what it printed."""
        text = block.text.replace("8080", str(self.port))
        text = text.replace("--target x86-avx2", "--target loose.toml").replace(
            "--limits x86-avx2", "--limits limits.toml"
        )
        command = ["bash", "-eu", "-o", "pipefail", "-c", text]
        if block.language == "python":
            command = [sys.executable, "-W", "error", "-c", text]
        env = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, f"line {block.line}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """Float models, data, a recipe and the command; the bundles come from the page's first block."""
    folder = tmp_path_factory.mktemp("app")
    texts = sentences(120, 0)
    write_lines(folder / "app.jsonl", [{"text": text} for text in texts[::2]])
    write_lines(folder / "labelled.jsonl", [{"text": text} for text in texts[1::2]])
    recipe_with(folder / "loose.toml", target=TARGET)
    (folder / "limits.toml").write_text(f"schema = 1\n{LOOSE_GATE}", encoding="utf-8")
    tiny_bert(folder / "float/sentiment", head="classifier")
    tiny_bert(folder / "float/minilm")
    sentence_transformer(folder / "float/minilm", {"pooling_mode_mean_tokens": True})
    shutil.copytree(STORIES, folder / "float/teller")
    stack = next(block.text for block in OURS if block.language == "toml")
    (folder / "stack.toml").write_text(stack.replace("x86-avx2", "loose.toml"), encoding="utf-8")
    (folder / "bin").mkdir()
    command = folder / "bin/edgequant"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m toolkit.cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = App(folder, port)
    made.run(OURS[0])
    return made


def test_every_block_says_whether_it_is_before_or_after():
    assert {block.words[:1] for block in blocks()} == {("before",), ("after",)}
    assert {block.language for block in OURS} == {"python", "sh", "toml", "yaml"}


def test_before_is_what_the_guide_leaves_behind():
    before = "".join(block.text for block in blocks() if block.words == ("before",))
    after = "".join(block.text for block in OURS if block.language == "python")
    for name in ("pipeline(", "SentenceTransformer(", "snapshot_download", "FROM python", "services:"):
        assert name in before
        assert name not in after


@pytest.mark.parametrize(
    "block",
    [block for block in OURS[1:] if block.words == ("after",) and block.language in ("python", "sh")],
    ids=lambda block: f"{block.language}-line-{block.line}",
)
def test_snippets_run(app, block):
    app.run(block)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_server_answers_as_the_guide_asks(app):
    block = next(block for block in OURS if "serve" in block.words)
    printed = app.run(block)
    assert '"label"' in printed
    assert '"embedding"' in printed


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_language_model_streams_as_the_guide_asks(app):
    printed = app.run(next(block for block in OURS if "writes" in block.words))
    assert printed.endswith("data: [DONE]\n\n")


@pytest.mark.slow
def test_the_image_is_built_as_the_guide_says(app):
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("images are built of Debian packages: no apt-get here")
    here = next(one for one in PLATFORMS.values() if one.target == cpu.architecture())
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "edgequant/image"
    try:
        choose_parts(here, Sources(cache))
    except EdgequantError as error:
        pytest.skip(f"the parts of an image cannot be downloaded: {error}")
    app.run(next(block for block in OURS if "image" in block.words))
    assert (app.folder / "app.tar").is_file()


def test_the_compose_file_is_as_strict_as_the_shipped_one():
    ours = yaml.safe_load(next(block for block in OURS if block.language == "yaml").text)["services"]["edgequant"]
    shipped = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["edgequant"]
    for name in ours.keys() - {"image", "healthcheck"}:
        assert ours[name] == shipped[name]
    assert ours["healthcheck"]["test"] == shipped["healthcheck"]["test"]
