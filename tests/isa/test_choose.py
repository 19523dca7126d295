from pathlib import Path

import pytest

from tests.runtime.tiny import TEXTS, make_manifest, table
from toolkit.errors import EdgequantError, UsageError
from toolkit.isa import abilities, choose
from toolkit.isa.choose import Reach, place_to_time_on, places, verify_of
from toolkit.isa.native import NEEDS, native, why_not_native
from toolkit.isa.place import Place
from toolkit.runtime.manifest import TargetInfo
from toolkit.targets import Verify, load_recipe

ZEN4 = frozenset({"avx2", "fma", "avx512f", "avx512_vnni", "vnni"})
HASWELL = frozenset({"avx2", "fma"})
A76 = frozenset({"neon", "dotprod"})
AVX2 = Verify(isa="avx2", cpu_models=("Haswell", "Broadwell"))
REACH = Reach(Path("/cache"), lambda model: Place(model, "emulated", (), {}))


@pytest.fixture
def machine(monkeypatch):
    def set_up(architecture, features, *, mask=False):
        monkeypatch.setattr(choose.cpu, "architecture", lambda: architecture)
        monkeypatch.setattr(choose.cpu, "features", lambda: features)
        monkeypatch.setattr(abilities, "why_not_masked", lambda: "" if mask else "no gcc")
        monkeypatch.setattr(choose, "masked", lambda cache: Place("avx2", "masked", (str(cache),), {}))

    return set_up


def ways(*names, target=AVX2):
    return [(place.isa, place.how) for place in places(names, target, REACH)]


@pytest.mark.parametrize(
    ("architecture", "features", "isa", "said"),
    [
        ("x86_64", HASWELL, "avx2", ""),
        ("x86_64", ZEN4, "vnni", ""),
        ("arm64", frozenset({"neon"}), "neon", ""),
        ("arm64", A76, "dotprod", ""),
        ("arm64", A76 | {"i8mm"}, "i8mm", ""),
        ("x86_64", ZEN4, "avx2", "this CPU has vnni and avx512f, which onnxruntime prefers"),
        ("x86_64", HASWELL, "vnni", "this CPU lacks vnni"),
        ("x86_64", ZEN4, "neon", "this CPU is x86_64"),
        ("arm64", A76, "neon", "this CPU has dotprod, which onnxruntime prefers"),
        ("arm64", A76, "i8mm", "this CPU lacks i8mm"),
    ],
)
def test_when_a_cpu_has_exactly_these_kernels(architecture, features, isa, said):
    assert why_not_native(isa, architecture, features) == said


def test_native_is_refused_with_the_reason(machine):
    machine("x86_64", ZEN4)
    assert native("vnni").how == "native"
    with pytest.raises(EdgequantError, match=r"kernels of avx2 are not those of this CPU\n  got: this CPU has vnni"):
        native("avx2")


def test_native_is_preferred_then_masked_then_emulated(machine):
    machine("x86_64", HASWELL, mask=True)
    assert ways("target") == [("avx2", "native")]
    machine("x86_64", ZEN4, mask=True)
    assert ways("target") == [("avx2", "masked")]
    machine("x86_64", ZEN4)
    assert ways("target") == [("Haswell", "emulated"), ("Broadwell", "emulated")]


def test_families_models_and_repetitions(machine):
    machine("x86_64", ZEN4, mask=True)
    assert ways("avx2", "vnni", "target", "avx2") == [("avx2", "masked"), ("vnni", "native")]
    neon = load_recipe("arm64-neon").verify
    assert ways("neon") == [(model, "emulated") for model in neon.cpu_models]
    assert ways("cortex-a72", "neon") == [("cortex-a72", "emulated"), ("cortex-a53", "emulated")]


def test_what_cannot_be_reached_at_all(machine):
    machine("arm64", A76)
    with pytest.raises(
        EdgequantError, match=r"cannot run the kernels of vnni\n  got: native: this CPU is arm64; masked: "
    ):
        ways("vnni")


def manifest(**changed):
    return make_manifest({"model.onnx": b"", "tokenizer.json": b""}, table()[: len(TEXTS)], **changed)


def test_what_a_bundle_says_of_its_kernels():
    said = manifest(provenance={"verify": {"isa": "neon", "cpu_models": ["cortex-a53"]}})
    assert verify_of(said) == Verify(isa="neon", cpu_models=("cortex-a53",))


def test_older_bundles_are_known_by_their_target():
    assert verify_of(manifest(target=TargetInfo("arm64-i8mm", "arm64", ()))) == load_recipe("arm64-i8mm").verify
    mine = TargetInfo("mine", "arm64", ("neon", "dotprod"))
    assert verify_of(manifest(target=mine)).isa == "dotprod"
    with pytest.raises(UsageError, match=r"does not say what its target's kernels are\n  where: mine"):
        verify_of(manifest(target=TargetInfo("mine", "riscv", ())))


def test_every_family_says_what_it_needs():
    assert list(NEEDS) == ["avx2", "vnni", "neon", "dotprod", "i8mm"]


def test_kernels_are_timed_where_they_run_at_their_own_speed(machine):
    machine("x86_64", ZEN4, mask=True)
    assert place_to_time_on("vnni", REACH.cache).how == "native"
    assert place_to_time_on("avx2", REACH.cache).how == "masked"
    machine("x86_64", HASWELL)
    assert place_to_time_on("avx2", REACH.cache).how == "native"
    with pytest.raises(
        EdgequantError, match=r"vnni cannot be timed here(.*\n)*.*native: this CPU lacks vnni; masked: only"
    ):
        place_to_time_on("vnni", REACH.cache)
