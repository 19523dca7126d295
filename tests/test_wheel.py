"""A wheel built from the repository works outside of it: recipes and data sets are inside."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.models import tiny_bert

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def edgequant(unpacked, tmp_path):
    def run(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(unpacked)}
        command = [sys.executable, "-P", "-m", "toolkit.cli", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def test_recipes_and_sets_are_inside(edgequant):
    assert len(json.loads(edgequant("targets", "--json").stdout)) == 5
    assert {item["name"] for item in json.loads(edgequant("sets", "--json").stdout)} == {
        "articles",
        "stsb",
        "tinystories",
        "vader-sentiment",
        "wnut17",
    }


def test_what_gcc_compiles_is_inside(unpacked):
    sources = {path.relative_to(ROOT) for path in (ROOT / "toolkit").rglob("*.c")}
    assert Path("toolkit/isa/mask.c") in sources
    assert all((unpacked / path).read_bytes() == (ROOT / path).read_bytes() for path in sources)


def test_nothing_comes_from_the_checkout(unpacked, tmp_path):
    code = (
        "import toolkit; from toolkit.paths import data_folder; from toolkit.targets import recipe_files;"
        "print(toolkit.__file__, data_folder('calibration'), *recipe_files().values(), sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-P", "-c", code]
    places = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert len(places.splitlines()) == 2 + 5
    assert all(Path(place).is_relative_to(unpacked) for place in places.splitlines())


def test_it_quantizes_from_an_empty_folder(edgequant, tmp_path, tmp_path_factory):
    model = tmp_path_factory.mktemp("model")
    tiny_bert(model)
    ended = edgequant("quantize", model, "-t", "x86-avx2", "-o", "b", "--json", "--no-speed", "--eval-samples", 50)
    assert ended.returncode in (0, 3), ended.stderr  # random weights need not pass the gate's limits
    report = json.loads(ended.stdout)
    assert report["gate"]["dataset"] == "stsb"
    assert (tmp_path / "b").exists() == (ended.returncode == 0)
