"""What the user types or brings is wrong: one clear message, the right exit code, and nothing left."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli import Workplace, recipe, workplace
from tests.models import change_json, tiny_bert
from toolkit.cli import main


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return workplace(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    place = workplace(tmp_path_factory.mktemp("made"))
    assert main(place.command()) == 0
    return place.out


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def refused(place: Workplace, capsys, code: int, *more: str, **changed: object) -> str:
    """Run ``quantize``, check that it fails cleanly and return what it said on stderr."""
    before = place.left()
    assert main(place.command(*more, **changed)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert "this is a bug" not in err
    assert place.left() == before
    return err


def test_missing_model(place, capsys):
    err = refused(place, capsys, 2, model=place.folder / "nope")
    assert "there is no such model" in err
    assert f"got: {place.folder / 'nope'}" in err


def test_empty_model_name_is_not_the_demo(place, capsys):
    err = refused(place, capsys, 2, model="")
    assert "the name of the model is empty" in err
    assert "hint: leave it out to take" in err


@pytest.mark.parametrize("kept", [5, 1000, -100])
def test_truncated_weights(place, capsys, kept):
    path = place.folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    err = refused(place, capsys, 1)
    assert "cannot read weights" in err
    assert f"where: {path}" in err
    assert "hint: the file is damaged or was cut off" in err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": ', "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"", "not valid JSON"),
    ],
)
def test_config_that_is_no_config(place, capsys, content, said):
    path = place.folder / "model" / "config.json"
    path.write_bytes(content)
    err = refused(place, capsys, 1)
    assert said in err
    assert str(path) in err


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("hidden_size", "big", "no usable 'hidden_size'"),
        ("hidden_size", None, "hidden_size"),
        ("num_attention_heads", 5, "num_attention_heads does not divide hidden_size"),
    ],
)
def test_config_with_impossible_values(place, capsys, key, value, said):
    change_json(place.folder / "model" / "config.json", **{key: value})
    assert said in refused(place, capsys, 1)


def test_unknown_architecture(place, capsys):
    if find_spec("optimum"):
        pytest.skip("optimum is installed and speaks for itself")
    change_json(place.folder / "model" / "config.json", architectures=["FooModel"], model_type="foo")
    err = refused(place, capsys, 2)
    assert "has to be exported by optimum" in err
    assert "hint: pip install 'edgequant[export]'" in err


def test_tokenizer_missing_broken_or_of_another_model(place, capsys):
    path = place.folder / "model" / "tokenizer.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace('"##ing": 27', '"##ing": 27, "more": 28').replace('"##ing":27', '"##ing":27,"more":28')
    )
    err = refused(place, capsys, 2)
    assert "the tokenizer does not fit the model" in err
    assert "got: token ids up to 28" in err
    assert "hint: " in err
    path.write_text("{}")
    assert "cannot read the tokenizer" in refused(place, capsys, 1)
    path.unlink()
    assert "there is no tokenizer.json" in refused(place, capsys, 1)


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("empty.jsonl", b"", 2, "a file is empty"),
        ("lines.txt", b"\n \n", 2, "a file is empty"),
        ("blank.jsonl", b'{"text": " "}\n', 2, "a set has no text"),
        ("header.csv", b"text\n", 2, "a file has a header and no rows"),
        ("cut.jsonl", b'{"text": \n', 1, "malformed JSON"),
        ("numbers.jsonl", b'{"text": 1}\n', 1, "a cell is no text"),
        ("columns.csv", b"foo,bar\na,b\n", 2, "foo, bar"),
        ("latin.txt", "café\n".encode("latin1"), 1, "hint: if it is Latin-1: iconv"),
        ("latin.csv", "text\ncafé\n".encode("latin1"), 1, "line 2"),
        ("latin.jsonl", '{"text": "café"}\n'.encode("latin1"), 1, "a file is not UTF-8"),
        ("texts.pdf", b"%PDF", 2, "unknown kind of file"),
    ],
)
def test_set_that_cannot_be_read(place, capsys, name, content, code, said):
    path = place.write(name, content)
    for role in ("calibration", "eval"):
        if (role, name) == ("eval", "blank.jsonl"):
            continue  # said in other words, below: each row of an evaluation set counts
        err = refused(place, capsys, code, **{role: path})
        assert said in err
        assert name in err


def test_blank_text_in_an_evaluation_set(place, capsys):
    path = place.write("blank.jsonl", '{"text": " "}\n')
    assert "a text is blank" in refused(place, capsys, 1, eval=path)


def test_set_that_is_not_there(place, capsys):
    err = refused(place, capsys, 2, eval="stbs")
    assert "hint: did you mean 'stsb'?" in err
    assert "a folder is no set of texts" in refused(place, capsys, 2, calibration=place.folder)


def test_wrong_column(place, capsys):
    err = refused(place, capsys, 2, "--columns", "text=body")
    assert "no such column for the role text" in err
    assert "got: 'body'" in err


@pytest.mark.parametrize("columns", ["txt=body", "text", "text=a,b", ""])
def test_malformed_columns(place, capsys, columns):
    with pytest.raises(SystemExit) as stopped:
        main(place.command("--columns", columns))
    assert stopped.value.code == 2
    assert "is not ROLE=COLUMN,…" in capsys.readouterr().err
    assert place.left() == []


def test_overlapping_sets(place, capsys):
    err = refused(place, capsys, 1, eval=place.folder / "calibration.jsonl")
    assert "the calibration and the evaluation set overlap" in err
    assert "hint: take these rows out of the calibration set" in err


def test_labels_that_are_not_the_models(place, capsys):
    model = tiny_bert(place.folder / "classifier", head="classifier")
    path = place.write("labels.csv", "text,label\nbad dog,calm\ngood cat,angry\n")
    err = refused(place, capsys, 1, model=model, eval=path)
    assert "the evaluation set's labels are not the model's" in err
    assert "expected: calm, glad, sad" in err
    assert "hint: rename the labels" in err


def test_recipe_with_an_unknown_key(place, capsys):
    path = place.write("other.toml", recipe().replace("spearman", "spaerman"))
    err = refused(place, capsys, 2, target=path)
    assert "unknown key 'spaerman'" in err
    assert f"{path}: gate.embedding.spaerman" in err
    assert "hint: did you mean 'spearman'?" in err


def test_recipe_that_is_no_toml(place, capsys):
    err = refused(place, capsys, 2, target=place.write("other.toml", "a = ["))
    assert "not valid TOML" in err


def test_unknown_target(place, capsys):
    err = refused(place, capsys, 2, target="x86-avx")
    assert "unknown target 'x86-avx'" in err
    assert "hint: did you mean 'x86-avx2'?" in err
    assert "there is no such recipe" in refused(place, capsys, 2, target=place.folder / "no.toml")


def test_output_that_exists(place, capsys):
    place.out.mkdir(parents=True)
    err = refused(place, capsys, 2)
    assert "the output exists" in err
    assert "hint: choose another name, or say --force" in err
    (place.out / "mine").write_text("precious")
    assert "not a bundle that --force may replace" in refused(place, capsys, 2, "--force")
    assert (place.out / "mine").read_text() == "precious"


def test_force_does_not_replace_a_file(place, capsys):
    place.out.parent.mkdir()
    place.out.write_text("precious")
    assert "not a bundle that --force may replace" in refused(place, capsys, 2, "--force")
    assert place.out.read_text() == "precious"


def test_archive_that_exists(place, capsys):
    archive = place.out.with_name("b.tar.gz")
    archive.parent.mkdir()
    archive.write_text("precious")
    err = refused(place, capsys, 2, "--archive", "gz")
    assert f"where: {archive}" in err
    assert archive.read_text() == "precious"


def test_folder_of_the_output_is_a_file(place, capsys):
    place.out.parent.write_text("mine")
    err = refused(place, capsys, 2)
    assert "the output cannot lie in a file" in err
    assert f"got: {place.out.parent} is a file" in err


def flip(bundle: Path) -> str:
    path = bundle / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path.name


def cut(bundle: Path) -> str:
    path = bundle / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    return path.name


def lose(bundle: Path) -> str:
    (bundle / "tokenizer.json").unlink()
    return "tokenizer.json"


def scribble(bundle: Path) -> str:
    (bundle / "manifest.json").write_text('{"schema": ')
    return "manifest.json"


def rename_key(bundle: Path) -> str:
    change_json(bundle / "manifest.json", pooling=None, poling="mean")
    return "manifest.json"


def lose_manifest(bundle: Path) -> str:
    (bundle / "manifest.json").unlink()
    return "manifest.json"


@pytest.mark.parametrize("damage", [flip, cut, lose, scribble, rename_key, lose_manifest])
def test_corrupt_bundle(bundle, place, capsys, damage):
    name = damage(bundle)
    assert main(["verify", str(bundle)]) == 1
    out, err = capsys.readouterr()
    assert name in out + err
    if damage is flip:
        return  # commands that run a bundle look at sizes, `verify` at digests
    vectors = place.folder / "vectors.jsonl"
    texts = place.write("texts.txt", "a cat\n")
    assert main(["embed", str(bundle), str(texts), "-o", str(vectors)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert name in err
    assert "this is a bug" not in err
    assert not list(place.folder.glob("*vectors*"))
    assert not list(place.folder.glob("*.partial-*"))


def test_bundle_that_is_not_there(tmp_path, capsys):
    for command in ("verify", "embed", "inspect"):
        assert main([command, str(tmp_path / "none")]) in (1, 2)
        out, err = capsys.readouterr()
        assert "none" in out + err
        assert "this is a bug" not in err
