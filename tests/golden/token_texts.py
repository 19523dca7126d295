"""The 10,000 real texts on which tokenization is compared with transformers', from ../shared; standard library only."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

DATA = Path(__file__).parents[3] / "shared/data"
TOKENIZERS = {
    "minilm": DATA.parent / "models/minilm-emotion",
    "roberta": DATA / "tokenizers/roberta-base",
    "mpnet": DATA / "tokenizers/all-mpnet-base-v2",
}
LENGTH, OVERLAP = 32, 8
"""Tokens at which texts are cut here, and what windows share."""
BLOCK = 500
"""Texts of one digest: a difference is found in one of them."""


def texts() -> list[str]:
    """Return 10,000 texts: short, long, of tweets, of Wikipedia, with emoji, HTML, other scripts and odd spaces."""
    return [text for source in _sources() for text in source]


def pairs() -> list[tuple[str, str]]:
    """Return the 1,500 pairs of STS-B's dev set, and 500 of a short text with a long one, or the other way round."""
    rows = [line.split("\t") for line in _lines("sts/STSBenchmark/sts-dev.csv")]
    every = texts()
    short, long = every[:250], every[-250:]
    return (
        [(row[5], row[6]) for row in rows] + list(zip(short, long, strict=True)) + list(zip(long, short, strict=True))
    )


def digests(rows: Iterable[object]) -> list[str]:
    """Return a sha256 for each 500 rows of tokens: numbers, or lists of them."""
    source = iter(rows)
    found = []
    while block := list(islice(source, BLOCK)):
        found.append(hashlib.sha256("\n".join(map(str, block)).encode()).hexdigest())
    return found


def _sources() -> Iterator[Iterable[str]]:
    yield islice((line.rpartition("\t")[0] for line in _lines("sst2/sentiment-train")), 2000)
    yield islice(_lines("tweeteval/emotion/train_text.txt"), 2000)
    yield islice(_lines("tweeteval/sentiment/test_text.txt"), 2000)
    yield islice((line.split("\t")[5] for line in _lines("sts/STSBenchmark/sts-train.csv")), 1500)
    yield islice(_tweets(), 1000)
    yield islice((line for line in _lines("wikitext2/wiki.test.raw") if len(line) > 40), 1500)


def _tweets() -> Iterator[str]:
    words: list[str] = []
    for line in _lines("wnut17/wnut17train.conll"):
        word = line.split("\t")[0].strip()
        if word:
            words.append(word)
        elif words:
            yield " ".join(words)
            words = []


def _lines(name: str) -> list[str]:
    return (DATA / name).read_text(encoding="utf-8").split("\n")[:-1]
