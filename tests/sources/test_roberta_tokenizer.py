"""RoBERTa's tokenizer out of vocab.json and merges.txt is that of its tokenizer.json."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from toolkit.errors import ModelError
from toolkit.sources.files import Files
from toolkit.sources.options import SourceOptions
from toolkit.sources.tokenizer import byte_level_bpe, read_tokenization

SHARED = Path(__file__).parents[3] / "shared" / "data"
REAL = SHARED / "tokenizers" / "roberta-base"
TEXTS = (
    "",
    " ",
    "Hello  world!",
    "naïve café ☃ 🙂🙂",
    "a <mask> b</s>c",
    "<s>x<pad>",
    "\tquote's  \u2019end\u2019\n",
    "数字 123,456",
)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
def test_tokens_of_the_two_files_are_those_of_the_one():
    made, expected = (
        byte_level_bpe(REAL / "vocab.json", REAL / "merges.txt"),
        Tokenizer.from_file(f"{REAL}/tokenizer.json"),
    )
    lines = (SHARED / "tweeteval" / "sentiment" / "test_text.txt").read_text(encoding="utf-8").splitlines()[:2000]
    for text in (*TEXTS, *lines):
        one, other = made.encode(text), expected.encode(text)
        assert (one.ids, one.offsets) == (other.ids, other.offsets), text
    assert made.encode(*TEXTS[2:4]).ids == expected.encode(*TEXTS[2:4]).ids
    assert made.get_vocab() == expected.get_vocab()


def folder(root, vocabulary, kind="roberta"):
    (root / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (root / "merges.txt").write_text("#version: 0.2\na b\n", encoding="utf-8")
    (root / "config.json").write_text(
        json.dumps({"model_type": kind, "max_position_embeddings": 34, "pad_token_id": 1})
    )
    return Files(root)


VOCABULARY = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "ab": 6, "<mask>": 7}


def test_a_folder_of_the_two_files_is_read(tmp_path):
    files = folder(tmp_path, VOCABULARY)
    found = read_tokenization(files, files.fields("config.json"), SourceOptions(), 8)
    assert (found.pad_id, found.max_length) == (1, 32)
    assert Tokenizer.from_str(found.json).encode("ab").ids == [0, 6, 2]
    before = files.digest()
    (tmp_path / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    assert files.digest() != before


def test_what_is_not_robertas_is_refused(tmp_path):
    files = folder(tmp_path, VOCABULARY, "xlm")
    with pytest.raises(ModelError, match=r"there is no tokenizer\.json"):
        read_tokenization(files, files.fields("config.json"), SourceOptions(), 8)
    files = folder(tmp_path, {"a": 0, "b": 1, "ab": 2})
    with pytest.raises(ModelError, match="lacks RoBERTa's"):
        read_tokenization(files, files.fields("config.json"), SourceOptions(), 8)
    (tmp_path / "vocab.json").write_text("[", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot read the tokenizer"):
        byte_level_bpe(tmp_path / "vocab.json", tmp_path / "merges.txt")
