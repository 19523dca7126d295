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
