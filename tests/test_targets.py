import re
from pathlib import Path

import pytest

from toolkit.errors import EdgequantError, RecipeError, UsageError
from toolkit.targets import (
    Quantization,
    Rule,
    load_recipe,
    recipe_digest,
    recipe_files,
    target_for,
)

NAMES = ["arm64-dotprod", "arm64-i8mm", "arm64-neon", "x86-avx2", "x86-vnni"]


def changed(folder: Path, old: str, new: str, target: str = "x86-avx2") -> Path:
    """Write a shipped recipe with one place changed."""
    text = recipe_files()[target].read_text(encoding="utf-8")
    assert text.count(old) >= 1
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(RecipeError) as raised:
        load_recipe(str(path))
    assert raised.value.exit_code == 2
    return str(raised.value)


def test_five_recipes_are_shipped():
    assert list(recipe_files()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_loads(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.schema_version == 1
    assert recipe.cpu.architecture == ("x86_64" if name.startswith("x86") else "arm64")
    assert recipe.image.platform == ("linux/amd64" if name.startswith("x86") else "linux/arm64")
    assert recipe.cpu.pair_saturation is (name == "x86-avx2")
    assert all(rule.why.endswith(".") for rule in recipe.quantization.rules)
    for task in ("embedding", "classification"):
        assert {"sqnr_db", "size_ratio"} <= recipe.gate.limits(task).keys()
    large = recipe.quantization.decide("linear", "encoder.layer.0.output", 384 * 1536)
    assert large.precision == "int8"
    assert large.weight_range == ("pair" if name == "x86-avx2" else "full")
    assert recipe.quantization.decide("linear", "classifier", 384 * 3).precision == "float"
    assert recipe.quantization.decide("embedding", "words", 30522 * 384).precision == "int8"
    assert recipe.quantization.decide("embedding", "types", 2 * 384).precision == "float"


def test_the_session_settings_are_those_of_the_manifest():
    runtime = load_recipe("x86-vnni").runtime
    info = runtime.session_info()
    assert {name: getattr(info, name) for name in type(runtime).model_fields} == runtime.model_dump()


def test_limits_that_are_not_given_are_left_out(tmp_path):
    path = changed(tmp_path, "cosine_min = { min = 0.95 }\n", "")
    assert "cosine_min" not in load_recipe(str(path)).gate.limits("embedding")


@pytest.mark.parametrize(
    ("old", "new", "key", "hint"),
    [
        ("description =", "descripton =", "descripton", "description"),
        ("pair_saturation =", "pair_saturations =", "cpu.pair_saturations", "pair_saturation"),
        ("precision =", "precison =", "quantization.rules.0.precison", "precision"),
        ("[gate.embedding]\nspearman", "[gate.embedding]\nspearmann", "gate.embedding.spearmann", "spearman"),
        ("{ max_drop =", "{ maxdrop =", "gate.embedding.spearman.maxdrop", "max_drop"),
        ("allow_spinning", "allow_spining", "runtime.allow_spining", "allow_spinning"),
    ],
)
def test_an_unknown_key_is_named_with_its_file_and_the_nearest(tmp_path, old, new, key, hint):
    path = changed(tmp_path, old, new)
    said = refused(path)
    assert said.startswith(f"unknown key {key.rpartition('.')[2]!r}\n  where: {path}: {key}\n  expected: ")
    assert said.endswith(f"\n  hint: did you mean {hint!r}?")


def test_a_limit_of_one_model_alone_has_no_drop(tmp_path):
    said = refused(changed(tmp_path, "cosine_mean = { min", "cosine_mean = { max_drop"))
    assert "where: " in said
    assert "gate.embedding.cosine_mean.max_drop" in said
    assert "expected: max, min" in said


@pytest.mark.parametrize(
    ("old", "new", "key", "got"),
    [
        ("pair_saturation = true", 'pair_saturation = "yes"', "cpu.pair_saturation", "'yes'"),
        ("max_batch_tokens = 512", "max_batch_tokens = 1024.5", "runtime.max_batch_tokens", "1024.5"),
        ("max_batch_tokens = 512", "max_batch_tokens = 0", "runtime.max_batch_tokens", "0"),
        ("max_parameters = 16384", "max_parameters = -1", "quantization.rules.1.max_parameters", "-1"),
        ('requires = ["avx2", "fma"]', 'requires = "avx2"', "cpu.requires", "'avx2'"),
        ("schema = 1", "schema = 2", "schema", "2"),
        ("schema = 1", "schema = 2026-01-01", "schema", "datetime"),
        ("{ min = 0.95 }", '{ min = "0.95" }', "gate.embedding.cosine_min.min", "'0.95'"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, old, new, key, got):
    path = changed(tmp_path, old, new)
    said = refused(path)
    assert said.startswith(f"wrong value\n  where: {path}: {key}\n  got: ")
    assert got in said
    assert "\n  expected: " in said


def test_a_wrong_word_gets_the_nearest(tmp_path):
    assert "hint: did you mean 'pair'?" in refused(changed(tmp_path, '"pair"', '"pairs"'))


def test_a_missing_key_is_named(tmp_path):
    path = changed(tmp_path, 'int8_kernel = "U8S8 by VPMADDUBSW"\n', "")
    assert refused(path) == f"the key 'cpu.int8_kernel' is missing\n  where: {path}: cpu.int8_kernel"


def test_a_limit_bounds_something(tmp_path):
    assert "a limit needs at least one of min, max" in refused(changed(tmp_path, "{ min = 0.95 }", "{}"))
    said = refused(changed(tmp_path, "{ max_drop = 0.003, min_ratio = 0.99 }", "{}"))
    assert "a limit needs at least one of min, max, max_drop, min_ratio" in said


def test_a_saturating_kernel_refuses_the_full_range(tmp_path):
    said = refused(changed(tmp_path, 'weight_range = "pair"', 'weight_range = "full"'))
    assert 'pair_saturation is true, but a rule sets weight_range = "full": "Every GEMM' in said
    assert load_recipe(str(changed(tmp_path, 'weight_range = "pair"', 'weight_range = "reduced"')))


def test_int8_without_a_range_gets_the_one_that_no_kernel_saturates(tmp_path):
    recipe = load_recipe(str(changed(tmp_path, 'weight_range = "pair"\n', "")))
    assert recipe.quantization.decide("linear", "any", 10**6).weight_range == "pair"


def test_what_is_no_toml_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("schema = \n")
    assert refused(path).startswith(f"not valid TOML\n  where: {path}\n  got: ")
    path.write_bytes(b'name = "\xff"')
    assert refused(path).startswith(f"a TOML file is not UTF-8\n  where: {path}\n  got: byte 0xff at offset 8")


def test_an_unknown_target_gets_the_nearest():
    with pytest.raises(UsageError) as raised:
        load_recipe("x86-avx")
    assert raised.value.exit_code == 2
    said = str(raised.value)
    assert said.startswith("unknown target 'x86-avx'\n  expected: arm64-dotprod, arm64-i8mm, ")
    assert said.endswith("hint: did you mean 'x86-avx2'?")


def test_an_unknown_target_like_none_gets_the_command():
    with pytest.raises(UsageError, match="hint: `edgequant targets` lists them"):
        load_recipe("riscv")


def test_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "none.toml"
    with pytest.raises(UsageError, match=rf"there is no such recipe\n  where: {re.escape(str(path))}\n") as raised:
        load_recipe(str(path))
    assert isinstance(raised.value, EdgequantError)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("architecture", "features", "target"),
    [
        ("x86_64", {"sse2", "avx2", "fma"}, "x86-avx2"),
        ("x86_64", {"avx2", "fma", "vnni", "avx512_vnni"}, "x86-vnni"),
        ("x86_64", {"avx2"}, None),
        ("x86_64", {"vnni"}, None),
        ("x86_64", set(), None),
        ("arm64", {"neon"}, "arm64-neon"),
        ("arm64", {"neon", "dotprod"}, "arm64-dotprod"),
        ("arm64", {"neon", "dotprod", "i8mm"}, "arm64-i8mm"),
        ("arm64", {"neon", "i8mm"}, "arm64-neon"),
        ("arm64", {"avx2", "fma"}, None),
        ("riscv64", {"neon", "avx2", "fma"}, None),
    ],
    ids=str,
)
def test_the_target_that_asks_for_the_most_is_chosen(architecture, features, target):
    assert target_for(architecture, frozenset(features)) == target


def test_the_digest_is_of_what_is_said(tmp_path):
    shipped = recipe_digest(load_recipe("x86-avx2"))
    assert re.fullmatch("[0-9a-f]{64}", shipped)
    same = changed(tmp_path, "schema = 1", "# another comment\n\nschema   =   1   # and one more")
    assert recipe_digest(load_recipe(str(same))) == shipped
    other = changed(tmp_path, "max_drop = 0.003", "max_drop = 0.004")
    assert recipe_digest(load_recipe(str(other))) != shipped
    assert len({recipe_digest(load_recipe(name)) for name in NAMES}) == 5


def test_what_a_rule_leaves_out_stays_as_decided_before():
    rules = Quantization(
        rules=(
            Rule(why="one", select="linear", precision="int8", weight_range="pair"),
            Rule(why="two", select="linear", name="head.*", smoothing="search"),
            Rule(why="three", select="embedding", precision="int8"),
        )
    )
    head, body = (rules.decide("linear", name, 10) for name in ("head.dense", "Head.dense"))
    assert (head.precision, head.weight_range, head.smoothing) == ("int8", "pair", "search")
    assert (head.why, body.why) == (("one", "two"), ("one",))  # names keep their case


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_names_the_kernels_to_verify_on(name):
    verify = load_recipe(name).verify
    assert verify.isa == name.rpartition("-")[2]
    assert bool(verify.cpu_models) is (name != "x86-vnni")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('isa = "avx2"', 'isa = "avx3"', "hint: did you mean 'avx2'?"),
        ('isa = "avx2"', 'isa = "neon"', "verify.isa is 'neon', but x86_64 has avx2, vnni"),
        ('["Haswell"]', '["-S"]', "verify.cpu_models.0"),
        ("cpu_models", "cpu_model", "did you mean 'cpu_models'?"),
        ("[verify]", "[verified]", "did you mean 'verify'?"),
    ],
)
def test_what_verify_may_say(tmp_path, old, new, said):
    assert said in refused(changed(tmp_path, old, new))
