"""The shipped stack on real weights, without a hub: ``make stack``. Minutes, so no part of the suite.

The models are folders in place of the hub ids: a RoBERTa with real weights, MiniLM, mpnet at its real size with
random weights and its real tokenizer, and stories260k. STACK_OUT is where all goes; what is up to date there is not
built again. STACK_ARM=1 makes the stack for arm64 too, and asks that image on an emulated Cortex-A76.
"""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.image.conftest import HERE
from tests.image.running import check_golden, emulated, native, serving
from tests.prepare import seed
from toolkit import cli
from toolkit.image.platforms import ARM64
from toolkit.isa.cpu_models import cpu_model
from toolkit.runtime import cpu
from toolkit.runtime.bundle import open_bundle
from toolkit.sources import demo_model
from toolkit.targets import target_for

SHIPPED = Path(__file__).parents[2] / "docs" / "stack.toml"
TARGETS = 'targets = ["x86-avx2", "arm64-dotprod"]'
STORIES = Path(__file__).parents[1] / "golden/stories260k"
TASK = 'task = "text-generation"'
ARM = bool(os.environ.get("STACK_ARM"))
NAMES = ("emotion", "minilm", "mpnet", "teller")


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
    """Prepare the stack for the target of this CPU, with the hub switched off; return its report.

    Stories for children are judged on such stories.
    """
    target = target_for(cpu.architecture(), cpu.features()) or "x86-avx2"
    text = SHIPPED.read_text(encoding="utf-8")
    changes = {
        TARGETS: f"targets = {json.dumps([target, *(['arm64-dotprod'] if ARM else [])])}",
        TASK: f'{TASK}\ncalibration = {{ set = "tinystories" }}\nevaluation = {{ set = "tinystories" }}',
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (place / "stack.toml").write_text(text, encoding="utf-8")
    models = {"emotion": place / "roberta", "minilm": demo_model(), "mpnet": place / "mpnet", "teller": STORIES}
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
    assert {one["model"] for one in report["models"]} == {*NAMES}
    assert {one["result"] for one in report["models"]} == {"up to date"}
    assert report["image"]["result"] == "up to date"
    assert report["fallbacks"] == {"mpnet": "minilm"}


def test_every_model_answers_from_the_image(report, tmp_path):
    root = unpacked(report, tmp_path / "root", HERE)
    with serving(native(root, HERE), root, root / "bundles") as port:
        for name in ("minilm", "mpnet"):
            check_golden(port, bundle_of(report, name, root))
        check_sentiment(port)
        check_story(port, bundle_of(report, "teller", root))


@pytest.mark.skipif(not ARM, reason="set STACK_ARM=1 for arm64 under emulation")
def test_every_model_answers_from_the_image_on_a_cortex_a76(report, tmp_path):
    root = unpacked(report, tmp_path / "root", ARM64)
    python = emulated(root, cpu_model("cortex-a76"), tmp_path)
    with serving(python, root, root / "bundles") as port:
        for name in ("minilm", "mpnet"):
            check_golden(port, bundle_of(report, name, root))
        check_sentiment(port)
        check_story(port, bundle_of(report, "teller", root))


def unpacked(report, root, platform):
    layout = report["image"]["path"]
    assert cli.main(["image", "unpack", layout, "-o", str(root), "--platform", platform.name]) == 0
    return root


def bundle_of(report, name, root):
    """Return where a model's bundle lies in the root filesystem of its platform."""
    there = {path.name for path in (root / "bundles").iterdir()}
    names = [Path(one["bundle"]).name for one in report["models"] if one["model"] == name]
    return root / "bundles" / next(name for name in names if name in there)


def ask(port, route, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", route, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 200, answer
    print(answer)
    return answer


def check_sentiment(port):
    texts = ["what a wonderful film", "a dull waste of time"]
    answer = ask(port, "/classify", {"texts": texts, "model": "emotion"})
    tops = [max(row, key=lambda label: label["score"])["label"] for row in answer["results"]]
    assert tops == ["positive", "negative"]


def check_story(port, bundle):
    """Ask for what follows the golden prompts: with the tokens of the manifest it is the same text."""
    golden = open_bundle(bundle).manifest.golden
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    for prompt, output in zip(golden.texts, golden.outputs, strict=True):
        ids = tokenizer.encode(prompt).ids
        asked = {"model": "teller", "prompt": prompt, "temperature": 0, "max_tokens": len(output)}
        text = ask(port, "/v1/completions", asked)["choices"][0]["text"]
        assert prompt + text == tokenizer.decode([*ids, *map(int, output)])
