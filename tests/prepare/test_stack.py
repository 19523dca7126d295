"""``stack.toml``: what it may say, and each mistake by its key."""

from pathlib import Path

import pytest

from tests.prepare.conftest import STACK
from toolkit.cli import main
from toolkit.errors import EdgequantError, RecipeError
from toolkit.prepare import read_stack
from toolkit.prepare.imaging import Parts, image_work
from toolkit.prepare.units import Place, units

SHIPPED = Path(__file__).parents[2] / "docs" / "stack.toml"
PARTS = Parts(Path("cache"), None, 0)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema = 1", "schema = 2", "schema[\\s\\S]*got: 2"),
        ('name = "tiny"', 'name = "a/b"', "name[\\s\\S]*name of a folder"),
        ('targets = ["loose.toml"]\n', "", "models.encoder.targets[\\s\\S]*one target at least"),
        ('targets = ["loose.toml"]', 'target = "loose.toml"', "unknown key 'target'[\\s\\S]*did you mean 'targets'"),
        ('model = "encoder"', 'modle = "encoder"', "unknown key 'modle'[\\s\\S]*did you mean 'model'"),
        ('model = "encoder"', 'model = "encoder"\npooling = "men"', "pooling[\\s\\S]*got: 'men'"),
        ('model = "encoder"', 'model = "encoder"\ntask = "embeding"', "did you mean 'embedding'"),
        ('model = "encoder"', 'model = "encoder"\nmax_length = "8"', "max_length[\\s\\S]*valid integer"),
        ('model = "encoder"', 'model = "encoder"\nfallback_for = "feeling"', "did you mean 'feelings'"),
        ('model = "encoder"', 'model = "encoder"\nfallback_for = "encoder"', "the name of another model"),
        ('model = "encoder"', 'model = "encoder"\nbits = 5', "bits[\\s\\S]*4 or 8"),
        ("[models.encoder]", '[models."../x"]', "name of a folder"),
        ('said", label', 'said", lable', "unknown key 'lable'"),
        ("[image]", "[imgae]", "did you mean 'image'"),
        ("[image]", '[image]\nplatforms = ["linux/amd46"]', "did you mean 'linux/amd64'"),
    ],
)
def test_a_mistake_is_told_by_its_key(tmp_path, capsys, old, new, words):
    path = tmp_path / "stack.toml"
    assert old in STACK
    path.write_text(STACK.replace(old, new), encoding="utf-8")
    with pytest.raises(RecipeError, match=words):
        read_stack(path)
    assert main(["prepare", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_fallbacks_may_not_go_in_a_circle(tmp_path):
    path = tmp_path / "stack.toml"
    text = STACK.replace('model = "encoder"', 'model = "encoder"\nfallback_for = "feelings"')
    path.write_text(text, encoding="utf-8")
    assert read_stack(path).models["encoder"].fallback_for == "feelings"
    path.write_text(text.replace('model = "feelings"', 'model = "feelings"\nfallback_for = "encoder"'))
    with pytest.raises(RecipeError, match="no circle of fallbacks"):
        read_stack(path)


def test_no_file_and_no_model(tmp_path):
    with pytest.raises(RecipeError, match="cannot read"):
        read_stack(tmp_path / "stack.toml")
    path = tmp_path / "stack.toml"
    path.write_text('schema = 1\nname = "x"\n[models]\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"one table \[models.NAME\] at least"):
        read_stack(path)


def test_paths_start_at_the_file_and_names_stay_names(tiny):
    encoder, feelings = tiny.units()
    assert encoder.model == str(tiny.root / "encoder")
    assert feelings.evaluation.spec == str(tiny.root / "labels.csv")
    assert feelings.evaluation.columns == {"text": "said", "label": "felt"}
    tiny.change('"calibration.jsonl"', '"stsb"')
    tiny.change('"encoder"', '"someone/encoder"')
    encoder, _ = tiny.units()
    assert (encoder.model, encoder.calibration.spec) == ("someone/encoder", "stsb")


def test_local_goes_before_the_file_and_its_revision(tiny):
    tiny.change('model = "encoder"', 'model = "someone/encoder"\nrevision = "v1"')
    assert tiny.units()[0].revision == "v1"
    local = tiny.units(encoder=str(tiny.root / "encoder"))[0]
    assert (local.model, local.revision) == (str(tiny.root / "encoder"), None)
    with pytest.raises(EdgequantError, match="no such folder or file"):
        tiny.units(encoder=str(tiny.root / "none"))
    with pytest.raises(EdgequantError, match="did you mean 'encoder'"):
        tiny.units(encodre=str(tiny.root / "encoder"))


def test_two_targets_of_one_name_and_a_platform_without_a_target_are_refused(tiny):
    stack, place = read_stack(tiny.root / "stack.toml"), Place(tiny.root, tiny.out, {})
    assert [platform.name for platform in image_work(stack, place, tiny.units(), PARTS).platforms] == ["linux/amd64"]
    tiny.change("[image]", '[image]\nplatforms = ["linux/arm64"]')
    stack = read_stack(tiny.root / "stack.toml")
    with pytest.raises(EdgequantError, match="no target of the stack runs on a platform of its image"):
        image_work(stack, place, tiny.units(), PARTS)
    tiny.change('["loose.toml"]', '["loose.toml", "x86-avx2"]')  # loose.toml has that name
    with pytest.raises(RecipeError, match="the same folder"):
        tiny.units()


def test_the_shipped_stack_is_the_seeds(tmp_path):
    stack = read_stack(SHIPPED)
    assert {name: model.fallback_for for name, model in stack.models.items()} == {
        "emotion": None,
        "minilm": None,
        "mpnet": "minilm",
        "teller": None,
    }
    work = units(stack, Place(SHIPPED.parent, tmp_path, {}))
    assert len(work) == 8
    image = image_work(stack, Place(SHIPPED.parent, tmp_path, {}), work, PARTS)
    assert [platform.name for platform in image.platforms] == ["linux/amd64", "linux/arm64"]
