import pytest

from toolkit.errors import UsageError
from toolkit.isa.cpu_models import MODELS, cpu_model
from toolkit.isa.instructions import INT8, kinds
from toolkit.runtime import cpu
from toolkit.targets import load_recipe, recipe_files


@pytest.mark.parametrize("model", MODELS.values(), ids=str)
def test_cpuinfo_shows_what_the_kernels_need(model, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(model.cpuinfo())
    features = cpu.features(path)
    needs = {"neon": {"neon"}, "dotprod": {"dotprod"}, "i8mm": {"dotprod", "i8mm"}, "avx2": {"avx2", "fma"}}
    assert needs[model.family] <= features
    better = {"neon": {"dotprod", "i8mm"}, "dotprod": {"i8mm", "sve"}, "i8mm": set(), "avx2": {"vnni", "avx512f"}}
    assert not better[model.family] & features
    assert set(model.marks) <= set(kinds(model.architecture)) & set(INT8)


def test_the_part_is_shown_as_linux_shows_it():
    lines = [line.partition(":") for line in cpu_model("cortex-a72").cpuinfo().splitlines()]
    shown = {name.strip(): value.strip() for name, _, value in lines}
    assert (shown["CPU implementer"], shown["CPU part"], shown["CPU variant"]) == ("0x41", "0xd08", "0x0")


def test_every_cpu_model_of_a_recipe_is_known():
    for target in recipe_files():
        recipe = load_recipe(target)
        for name in recipe.verify.cpu_models:
            model = cpu_model(name)
            assert (model.architecture, model.family) == (recipe.cpu.architecture, recipe.verify.isa)


def test_a_name_in_another_case_is_known_and_a_wrong_one_is_told():
    assert cpu_model("haswell").name == "Haswell"
    with pytest.raises(UsageError, match=r"(?s)unknown CPU model 'cortex-a73'.*did you mean 'cortex-a7[26]'\?"):
        cpu_model("cortex-a73")
