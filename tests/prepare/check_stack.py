"""The shipped stack on real weights, without a hub: ``make stack``. Minutes, so no part of the suite.

The models are folders in place of the hub ids: a RoBERTa with real weights, MiniLM, and mpnet at its real size with
random weights and its real tokenizer. STACK_OUT is where all goes; what is up to date there is not built again.
"""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image.conftest import HERE
from tests.image.running import check_golden, native, serving
from tests.prepare import seed
from toolkit import cli
from toolkit.runtime import cpu
from toolkit.sources import demo_model
from toolkit.targets import target_for

SHIPPED = Path(__file__).parents[2] / "docs" / "stack.toml"
TARGETS = 'targets = ["x86-avx2", "arm64-dotprod"]'


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    if not (seed.SHARED / "models" / "roberta-sst2").is_dir():
        pytest.skip(f"no {seed.SHARED}/models/roberta-sst2")
    given = os.environ.get("STACK_OUT")
    folder = Path(given).absolute() if given else tmp_path_factory.mktemp("stack")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def report(place):
    """Prepare the stack for the target of this CPU, with the hub switched off; return its report."""
    target = target_for(cpu.architecture(), cpu.features()) or "x86-avx2"
    text = SHIPPED.read_text(encoding="utf-8")
    assert TARGETS in text
    (place / "stack.toml").write_text(text.replace(TARGETS, f'targets = ["{target}"]'), encoding="utf-8")
    models = {"emotion": place / "roberta", "minilm": demo_model(), "mpnet": place / "mpnet"}
    for name, make in (("emotion", seed.roberta), ("mpnet", seed.mpnet)):
        if not models[name].exists():
            make(models[name])
    local = [part for name, folder in models.items() for part in ("--local", f"{name}={folder}")]
    command = [sys.executable, "-m", "toolkit.cli", "prepare", place / "stack.toml", "-o", place / "made", *local]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, env=env, check=True)
    done = subprocess.run([*command, "--json"], env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_the_second_run_has_nothing_to_do(report):
    assert {one["model"]: one["result"] for one in report["models"]} == dict.fromkeys(
        ("emotion", "minilm", "mpnet"), "up to date"
    )
    assert report["image"]["result"] == "up to date"
    assert report["fallbacks"] == {"mpnet": "minilm"}


def test_every_model_answers_from_the_image(report, tmp_path):
    root = tmp_path / "root"
    assert cli.main(["image", "unpack", report["image"]["path"], "-o", str(root)]) == 0
    bundles = {one["model"]: root / "bundles" / Path(one["bundle"]).name for one in report["models"]}
    with serving(native(root, HERE), root, root / "bundles") as port:
        for name in ("minilm", "mpnet"):
            check_golden(port, bundles[name])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        body = {"texts": ["what a wonderful film", "a dull waste of time"], "model": "emotion"}
        connection.request("POST", "/classify", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
    print(answer)
    tops = [max(row, key=lambda label: label["score"])["label"] for row in answer["results"]]
    assert tops == ["positive", "negative"]
