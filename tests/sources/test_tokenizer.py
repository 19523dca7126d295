"""Tokenizers that fit the model, and those that don't."""

import json

import pytest
from tokenizers import Tokenizer

from tests import models
from toolkit.errors import ModelError, UsageError
from toolkit.sources import SourceOptions, open_source


@pytest.fixture
def folder(tmp_path):
    return models.tiny_bert(tmp_path / "tiny")


def test_truncation_and_padding_are_stripped(folder):
    source = open_source(str(folder))
    tokenizer = Tokenizer.from_str(source.tokenizer_json)
    assert tokenizer.truncation is None
    assert tokenizer.padding is None
    assert len(tokenizer.encode("the cat " * 20).ids) == 42


def test_lower_case_of_sentence_transformers(folder):
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["normalizer"]["lowercase"] = False
    models.write_json(path, fields)
    assert Tokenizer.from_str(open_source(str(folder)).tokenizer_json).encode("CAT").tokens[1] == "[UNK]"
    models.write_json(folder / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": True})
    assert Tokenizer.from_str(open_source(str(folder)).tokenizer_json).encode("CAT").tokens[1] == "cat"


def test_lower_case_twice_changes_nothing(folder):
    plain = open_source(str(folder)).tokenizer_json
    models.write_json(folder / "sentence_bert_config.json", {"do_lower_case": True})
    assert open_source(str(folder)).tokenizer_json == plain


def test_a_tokenizer_of_the_users_choice(folder, tmp_path):
    path = (folder / "tokenizer.json").rename(tmp_path / "other.json")
    assert open_source(str(folder), SourceOptions(tokenizer=path)).pad_id == 0


@pytest.mark.parametrize("stated", ["[PAD]", {"content": "[PAD]"}])
def test_padding_token_as_the_files_say(folder, stated):
    models.write_json(folder / "tokenizer_config.json", {"pad_token": stated, "model_max_length": 48})
    assert open_source(str(folder)).pad_id == 0


def test_padding_token_by_its_usual_name(folder):
    (folder / "tokenizer_config.json").unlink()
    tokenizer = models.tiny_tokenizer()
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    assert open_source(str(folder)).pad_id == 0


@pytest.mark.parametrize(
    ("most", "length"), [(48, 48), (10**30, 64), (1000, 64), (None, 64)], ids=["48", "none", "more", "no key"]
)
def test_length_is_bounded_by_the_positions(folder, most, length):
    models.change_json(folder / "tokenizer_config.json", model_max_length=most)
    assert open_source(str(folder)).max_length == length


def test_no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"there is no tokenizer.json[\s\S]*hint: .*save_pretrained"):
        open_source(str(folder))


def test_named_tokenizer_that_is_not_there(folder, tmp_path):
    with pytest.raises(UsageError, match=r"there is no such tokenizer[\s\S]*where: .*nowhere.json"):
        open_source(str(folder), SourceOptions(tokenizer=tmp_path / "nowhere.json"))


def test_damaged_tokenizer(folder):
    path = folder / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match=r"cannot read the tokenizer: [\s\S]*where: .*tokenizer.json"):
        open_source(str(folder))


def test_more_tokens_than_embeddings(folder):
    tokenizer = models.tiny_tokenizer()
    tokenizer.add_tokens(["zebra"])
    tokenizer.save(str(folder / "tokenizer.json"))
    words = r"the tokenizer does not fit the model[\s\S]*got: token ids up to 28[\s\S]*expected: below 28"
    with pytest.raises(ModelError, match=words):
        open_source(str(folder))


def test_other_padding_token_than_the_model(folder):
    models.change_json(folder / "config.json", pad_token_id=1)
    with pytest.raises(ModelError, match=r"does not fit the model: padding token[\s\S]*got: 0[\s\S]*expected: 1 "):
        open_source(str(folder))


def test_no_padding_token(folder):
    tokenizer = Tokenizer.from_str(models.tiny_tokenizer().to_str().replace("[PAD]", "[EMPTY]"))
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(ModelError, match="the tokenizer has no padding token"):
        open_source(str(folder))


@pytest.mark.parametrize("length", [-1, 0, 2, 65])
def test_impossible_length(folder, length):
    with pytest.raises(UsageError, match=r"impossible maximal length[\s\S]*expected: 3 to 64"):
        open_source(str(folder), SourceOptions(max_length=length))
