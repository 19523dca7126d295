"""``edgequant verify --isa``: a bundle on its target's kernels, as a person types it."""

import json

import pytest

from tests.cli import recipe, workplace
from tests.runtime.lm import lm_parts
from toolkit.cli import main
from toolkit.cli import verify as command
from toolkit.isa.masked import why_not_masked
from toolkit.isa.native import why_not_native
from toolkit.runtime import cpu
from toolkit.runtime.manifest import TargetInfo

SATURATED = "pairs of products saturate in 16 bits (VPMADDUBSW): 64 x 255 x 127 gives 1048544, exact is 2072640"

needs_avx2 = pytest.mark.skipif(
    bool(why_not_masked() and why_not_native("avx2", cpu.architecture(), cpu.features())), reason=why_not_masked()
)


@pytest.fixture(autouse=True, scope="module")
def cache(xdg_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(xdg_cache))
        yield


def made(folder, target):
    place = workplace(folder)
    assert main(place.command(target=place.write("mine.toml", recipe(target=target)))) == 0
    return place.out


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return made(tmp_path_factory.mktemp("made"), "x86-avx2")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The same for a CPU of another kind, with weights up to ±127."""
    return made(tmp_path_factory.mktemp("full"), "arm64-neon")


@needs_avx2
def test_a_bounded_bundle_holds_on_avx2(bundle, capsys):
    assert main(["verify", str(bundle), "--isa", "target"]) == 0
    out, _ = capsys.readouterr()
    assert "no pair of stored weights exceeds 128, so none can ever saturate" in out
    assert SATURATED in out
    assert out.endswith("verified on these kernels\n")


@needs_avx2
def test_the_report_for_machines(bundle, capsys):
    assert main(["verify", str(bundle), "--isa", "avx2", "--isa", "target,avx2", "--json", "--threads", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    (check,) = report["checks"]
    assert (check["name"], check["ok"]) == ("pair bound", True)
    (place,) = report["places"]
    assert (place["isa"], place["proof"]["saturates"]) == ("avx2", True)
    assert place["proof"]["saturation_sum"] == 1048544
    assert {"kernels", "model.onnx", "golden vectors"} <= {check["name"] for check in place["checks"]}


@needs_avx2
def test_weights_that_may_saturate_are_refuted(full, capsys):
    assert main(["verify", str(full), "--isa", "avx2"]) == 1
    out, _ = capsys.readouterr()
    assert "FAIL  pair bound" in out
    assert "a pair of its weights exceeds 128" in out
    assert out.endswith("NOT verified: see FAIL above\n")


@needs_avx2
def test_damage_is_found(bundle, capsys, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in bundle.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    model = bytearray((copy / "model.onnx").read_bytes())
    at = model.rindex(b"weight_s8") + 64
    model[at] ^= 1
    (copy / "model.onnx").write_bytes(model)
    assert main(["verify", str(copy), "--isa", "avx2"]) == 1
    assert "FAIL  model.onnx" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("isa", "code", "said"),
    [
        ("avx2,,", 2, "error: a name after --isa is empty"),
        ("avx3", 2, "error: unknown CPU model 'avx3'"),
    ],
)
def test_names_that_are_none(bundle, capsys, isa, code, said):
    assert main(["verify", str(bundle), "--isa", isa]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(said)


def test_a_bundle_that_is_not_there(capsys):
    assert main(["verify", "nowhere", "--isa", "avx2"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no such bundle")


def test_without_the_extra(bundle, capsys, monkeypatch):
    def without(_args):
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr(command, "_check", without)
    assert main(["verify", str(bundle), "--isa", "avx2"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: `edgequant verify --isa` needs the package onnx, which is not installed",
        "  hint: pip install 'edgequant[quantize]'",
    ]


@needs_avx2
def test_the_gate_can_judge_on_the_targets_kernels(tmp_path, capsys):
    place = workplace(tmp_path)
    mine = place.write("mine.toml", recipe(target="x86-avx2"))
    assert main(place.command("--on", "target", "--json", target=mine)) == 0
    ran = json.loads(capsys.readouterr().out)["gate"]["place"]
    assert (ran["isa"], ran["proof"].startswith(SATURATED)) == ("avx2", True)
    assert main(place.command("--on", "target", "--force", target=mine)) == 0
    out = capsys.readouterr().out
    assert "int8 on avx2 (" in out
    assert "edgequant verify" in out


def test_the_gate_says_that_it_ran_on_this_cpu(tmp_path, capsys):
    assert main(workplace(tmp_path).command()) == 0
    assert "int8 on this CPU" in capsys.readouterr().out


def test_a_place_to_judge_on_that_is_none(tmp_path, capsys):
    place = workplace(tmp_path)
    assert main(place.command("--on", "avx3")) == 2
    assert "unknown CPU model 'avx3'" in capsys.readouterr().err
    assert not place.out.exists()


@needs_avx2
def test_text_generation_is_verified_by_its_tokens(tmp_path, capsys):
    parts = lm_parts()
    parts.changes["target"] = TargetInfo("x86-avx2", "x86_64", ())
    assert main(["verify", str(parts.write(tmp_path / "lm")), "--isa", "avx2"]) == 0
    printed = capsys.readouterr().out
    assert SATURATED in printed
    assert "1 texts, 12 tokens chosen greedily, all the same" in printed
    assert "pair bound" not in printed


def test_text_generation_has_no_sentences_to_compare_and_no_cost(tmp_path, capsys):
    bundle = str(lm_parts().write(tmp_path / "lm"))
    for asked in (["verify", bundle, "--isa", "avx2", "--sample", "2"], ["parity", bundle]):
        assert main(asked) == 2
        assert "sentences are run through encoders" in capsys.readouterr().err
    assert main(["cost", bundle]) == 2
    assert "instructions are counted for encoders" in capsys.readouterr().err
