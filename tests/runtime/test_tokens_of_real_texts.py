"""Tokens of 10,000 real texts are those of transformers; the digests are made by tests/golden/make_tokens.py."""

import json
from pathlib import Path

import pytest

from tests.golden.token_texts import DATA, LENGTH, OVERLAP, TOKENIZERS, digests, pairs, texts
from toolkit.runtime.manifest import TokenizerInfo
from toolkit.runtime.tokenization import TextTokenizer
from toolkit.runtime.windows import pieces

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/tokens.json").read_text(encoding="utf-8"))["digests"]

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared with its texts and tokenizers")


def tokenizer(name: str, max_length: int) -> TextTokenizer:
    text = (TOKENIZERS[name] / "tokenizer.json").read_text(encoding="utf-8")
    return TextTokenizer(text, TokenizerInfo("tokenizer.json", max_length, 0))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_are_those_of_transformers(name):
    every, both = texts(), pairs()
    assert (len(every), len(both)) == (10_000, 2000)
    whole, cut = tokenizer(name, 100_000), tokenizer(name, LENGTH)
    windows = [pieces(*found, cut.room, OVERLAP).windows for found in cut.encode_whole(every)]
    assert sum(len(found) > 2 for found in windows) > 1000
    assert {
        "whole": digests(row.ids for row in whole.encode(every)),
        "cut": digests(row.ids for row in cut.encode(every)),
        "windows": digests([window.ids for window in found] for found in windows),
        "pairs": digests([row.ids, row.type_ids] for row in whole.encode(both)),
        "cut pairs": digests([row.ids, row.type_ids] for row in cut.encode(both)),
    } == GOLDEN[name]


def test_a_changed_token_changes_its_digest():
    rows = [row.ids for row in tokenizer("minilm", LENGTH).encode(texts()[:501])]
    before = digests(rows)
    rows[500][1] += 1
    assert (digests(rows)[0], len(before)) == (before[0], 2)
    assert digests(rows)[1] != before[1]
