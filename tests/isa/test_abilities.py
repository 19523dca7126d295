import pytest

from toolkit.errors import UsageError
from toolkit.isa import abilities as module
from toolkit.isa.abilities import abilities
from toolkit.isa.cpu_models import MODELS

ZEN4 = frozenset({"avx2", "fma", "avx512f", "vnni"})
A76 = frozenset({"neon", "dotprod"})


@pytest.fixture
def machine(monkeypatch):
    def set_up(*, mask="", models=()):
        def find(model, _folder):
            if model.name not in models:
                raise UsageError("QEMU is not installed", hint="install it")

        monkeypatch.setattr(module, "why_not_masked", lambda: mask)
        monkeypatch.setattr(module.qemu, "find", find)

    return set_up


def how(architecture, features):
    return {ability.isa: ability.how for ability in abilities(architecture, features)}


def test_each_family_is_had_in_the_best_way(machine):
    machine(models=MODELS)
    arm = {"neon": "emulated", "dotprod": "emulated", "i8mm": "emulated"}
    assert how("x86_64", ZEN4) == {"avx2": "masked", "vnni": "native", **arm}
    machine(mask="no gcc", models=MODELS)
    assert how("x86_64", ZEN4) == {"avx2": "emulated", "vnni": "native", **arm}
    found = how("arm64", A76)
    assert (found["dotprod"], found["neon"], found["vnni"]) == ("native", "emulated", None)


def test_what_is_missing_is_told(machine):
    machine(mask="no gcc", models=("cortex-a53",))
    found = {ability.isa: ability for ability in abilities("x86_64", ZEN4)}
    assert found["avx2"].how is None
    assert found["avx2"].closed["masked"] == "no gcc"
    assert found["avx2"].closed["emulated"] == "QEMU is not installed\n  hint: install it"
    assert found["neon"].models == ("cortex-a53",)
    assert list(found["neon"].others) == ["cortex-a72"]
    assert found["vnni"].closed["emulated"] == "QEMU has no CPU with these kernels"


def test_what_counting_lacks_is_told(tmp_path, monkeypatch):
    assert "QEMU for arm64 is not installed" in module.why_not_counted("arm64", tmp_path)
    monkeypatch.setattr(module.qemu, "find", lambda *_, **__: None)
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    assert "apt install gcc" in module.why_not_counted("x86_64", tmp_path)


def test_a_root_filesystem_is_kept_or_can_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda _: "/usr/bin/x")
    assert module.why_no_root("arm64", tmp_path) == ""
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    assert "needs apt-get and dpkg-deb" in module.why_no_root("arm64", tmp_path)
    module.root_path("arm64", tmp_path).mkdir(parents=True)
    assert module.why_no_root("arm64", tmp_path) == ""
