"""The small commands, help, and what is typed wrong."""

import json
import sys
from pathlib import Path
from typing import get_args

import pytest

import toolkit
from tests.cli import process, workplace
from toolkit.cli import COMMANDS, main
from toolkit.runtime import cpu
from toolkit.samples import shipped_sets
from toolkit.targets import Isa, recipe_files, target_for

ALL = (*COMMANDS, "embed", "classify", "rerank", "entities")
WITHOUT_RICH = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name == "rich":
            raise ModuleNotFoundError("No module named 'rich'", name="rich")
sys.meta_path.insert(0, Without())
from toolkit.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    place = workplace(tmp_path_factory.mktemp("made"))
    assert main(place.command()) == 0
    return place.out


def said(capsys, *arguments: str) -> str:
    """Run a command that ends well and says nothing on stderr; return its stdout."""
    capsys.readouterr()
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    return out


def test_targets(capsys):
    out = said(capsys, "targets")
    assert all(name in out for name in recipe_files())
    assert ("(this CPU)" in out) == (target_for(cpu.architecture(), cpu.features()) is not None)
    listed = json.loads(said(capsys, "targets", "--json"))
    assert [recipe["name"] for recipe in listed] == list(recipe_files())


@pytest.mark.parametrize("name", recipe_files())
def test_one_target(capsys, name):
    out = said(capsys, "targets", name)
    assert out.startswith(f"{name}: ")
    one = json.loads(said(capsys, "targets", name, "--json"))
    assert (one["schema"], one["name"]) == (1, name)
    for rule in one["quantization"]["rules"]:
        assert rule["why"] in out
    assert json.loads(said(capsys, "targets", str(recipe_files()[name]), "--json")) == one


def test_unknown_target(capsys):
    assert main(["targets", "arm64-i8m"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "hint: did you mean 'arm64-i8mm'?" in err


def test_sets(capsys):
    out = said(capsys, "sets")
    listed = json.loads(said(capsys, "sets", "--json"))
    assert [info["name"] for info in listed] == [info.name for info in shipped_sets()]
    for info in listed:
        assert info["name"] in out
        assert str(info["calibration_rows"]) in out


def test_doctor(capsys):
    target = target_for(cpu.architecture(), cpu.features())
    code = 0 if target else 1
    assert main(["doctor"]) == code
    out, err = capsys.readouterr()
    assert err == ""
    assert f"target     {target or 'none suits this CPU'}" in out
    assert all(f"\n  {isa} " in out for isa in get_args(Isa))
    assert main(["doctor", "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == target
    assert found["architecture"] == cpu.architecture()
    assert found["missing"]["quantize"] == []
    assert found["versions"]["edgequant"] != "not installed"
    assert [ability["isa"] for ability in found["kernels"]] == list(get_args(Isa))


def test_doctor_without_tools(capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    main(["doctor"])
    out = capsys.readouterr().out
    if "neon" not in cpu.features():
        what = "no way. native: this CPU is x86_64; emulated: QEMU for arm64 is not installed, "
        assert f"  neon     {what}sudo apt-get install qemu-user-static\n" in out


def test_inspect(capsys, bundle):
    out = said(capsys, "inspect", str(bundle))
    found = json.loads(said(capsys, "inspect", str(bundle), "--json"))
    assert len(found["linear"]) == 8
    for item in (*found["linear"], *found["embedding"]):
        assert item["name"] in out
        assert item["why"][-1] in out


def test_inspect_of_broken_decisions(capsys, bundle):
    path = bundle / "quantization.json"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text("{", encoding="utf-8")
        assert main(["inspect", str(bundle)]) == 1
        out, err = capsys.readouterr()
    finally:
        path.write_text(text, encoding="utf-8")
    assert out == ""
    assert err.startswith("error: ")
    assert "quantization.json" in err


def test_bundle_embeds_and_verifies(capsys, bundle, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("the cat\na dog\n")
    lines = said(capsys, "embed", str(bundle), str(texts)).splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["the cat", "a dog"]
    assert json.loads(said(capsys, "verify", str(bundle), "--json"))["ok"] is True
    assert main(["classify", str(bundle), str(texts)]) == 2
    assert "hint: use the command embed" in capsys.readouterr().err


@pytest.mark.parametrize("command", [(), *((name,) for name in ALL)])
def test_help(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(" ".join(("usage: edgequant", *command)))
    if not command:
        assert all(name in out for name in ALL)


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"edgequant {toolkit.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "COMMAND"),
        (["quantise"], "invalid choice: 'quantise'"),
        (["quantize"], "-t/--target"),
        (["quantize", "m", "-t", "x86-avx2", "--threads", "0"], "not a whole number of at least 1"),
        (["quantize", "m", "-t", "x86-avx2", "--archive", "zip"], "invalid choice: 'zip'"),
        (["sets", "--jsn"], "unrecognized arguments: --jsn"),
        (["inspect"], "BUNDLE"),
    ],
)
def test_typed_wrong(capsys, arguments, what):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert what in err


@pytest.mark.parametrize("arguments", [("quantize", "model", "-t", "x86-avx2"), ("sets",), ("inspect", "b", "--json")])
def test_missing_extra(arguments):
    done = process(sys.executable, "-c", WITHOUT_RICH, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"error: `edgequant {arguments[0]}` needs the package rich, which is not installed",
        "  hint: pip install 'edgequant[quantize]'",
    ]
