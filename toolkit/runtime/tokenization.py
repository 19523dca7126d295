"""Text to token ids, and token ids to the arrays that the model takes."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeGuard, cast

from tokenizers import Encoding, Tokenizer

from toolkit.runtime.arrays import IntArray, ints
from toolkit.runtime.errors import BundleError, TextError
from toolkit.runtime.manifest import TokenizerInfo

Text = str | tuple[str, str]
"""A text, or a pair of them that the model reads together."""

MAX_BATCH = 64

RUN_COST = 6
"""What one more run costs, in tokens; 4 to 12 were best for MiniLM int8 on 8 to 640 sentences of STS-B."""


@dataclass(frozen=True)
class Encoded:
    """One text's token ids and token types, special tokens included, without padding."""

    ids: list[int]
    type_ids: list[int]
    spans: Sequence[tuple[int, int]] = ()
    """Where each token stands in the text, in characters; only where it was asked for, as ``words``."""
    words: Sequence[int | None] = ()
    """Which word each token is of; None for special tokens."""

    def part(self, start: int, end: int) -> "Encoded":
        """Return the tokens from ``start`` to before ``end``."""
        return Encoded(self.ids[start:end], self.type_ids[start:end], self.spans[start:end], self.words[start:end])


@dataclass(frozen=True)
class Special:
    """How many special tokens stand before and after a text's own."""

    before: int
    after: int


@dataclass(frozen=True)
class _PairForm:
    """The special tokens before, between and after two texts, and the token type of each text."""

    special: tuple[Encoded, Encoded, Encoded]
    types: tuple[int, int]


class TextTokenizer:
    """A ``tokenizer.json`` with truncation as the manifest says, whatever the file says, and no padding."""

    def __init__(self, tokenizer_json: str, info: TokenizerInfo) -> None:
        self.info = info
        self._tokenizer = read_tokenizer(tokenizer_json, info)
        special = self._tokenizer.num_special_tokens_to_add(True)
        if info.max_length <= special:  # tokenizers would truncate nothing, without a word
            what = "the tokenizer's max_length leaves no room for text"
            raise BundleError(
                what, where=info.file, got=info.max_length, expected=f"more than {special} special tokens"
            )
        self._pair = _pair_form(self._tokenizer)
        self._tokenizer.enable_truncation(max_length=info.max_length)

    def encode(self, texts: Sequence[Text], *, places: bool = False) -> list[Encoded]:
        """Return the tokens of each text, with their places if asked; TextError names the index of what is no text."""
        for index, text in enumerate(texts):
            _check_text(text, index)
        cut = {index: self._cut_pair(*text) for index, text in enumerate(texts) if self._is_long_pair(text)}
        run = self._tokenizer.encode_batch if places else self._tokenizer.encode_batch_fast
        found = iter(run([text for index, text in enumerate(texts) if index not in cut]))
        return [cut[index] if index in cut else _encoded(next(found), places=places) for index in range(len(texts))]

    def _is_long_pair(self, text: Text) -> TypeGuard[tuple[str, str]]:
        return isinstance(text, tuple) and self._pair is not None and min(map(len, text)) > self.info.max_length

    def _cut_pair(self, first: str, second: str) -> Encoded:
        """Return a pair cut as tokenizers cuts it, in time and memory that go by the sum of the lengths.

        tokenizers also makes every window of the one text with every window of the other: gigabytes, for long ones.
        Spans and words are those of ``Encoded`` without places.
        """
        both = self._tokenizer.encode_batch_fast([first, second], add_special_tokens=False)
        lengths = [sum(len(some.ids) for some in (part, *part.overflowing)) for part in both]
        form = cast(_PairForm, self._pair)
        special = sum(len(part.ids) for part in form.special)
        kept = _longest_first(lengths[0], lengths[1], self.info.max_length - special)
        own = [
            Encoded(part.ids[:count], [kind] * count) for part, count, kind in zip(both, kept, form.types, strict=True)
        ]
        before, between, after = form.special
        return joined([before, own[0], between, own[1], after])

    def encode_whole(self, texts: Sequence[Text], *, places: bool = False) -> list[tuple[Encoded, Special]]:
        """Return all tokens of each text, however many, between its special tokens; TextError for a pair."""
        for index, text in enumerate(texts):
            _check_text(text, index)
            if isinstance(text, tuple):
                raise TextError(f"text {index} is a pair", expected="a string: a pair is not read in windows")
        run = self._tokenizer.encode_batch if places else self._tokenizer.encode_batch_fast
        return [self._whole(found, places=places) for found in run(list(texts))]

    @property
    def room(self) -> int:
        """How many of a text's own tokens the model reads at once."""
        return self.info.max_length - self._tokenizer.num_special_tokens_to_add(False)

    def _whole(self, found: Encoding, *, places: bool) -> tuple[Encoded, Special]:
        """Return a text with what was cut off: truncation leaves that as parts with special tokens of their own."""
        parts = [_encoded(part, places=places) for part in (found, *found.overflowing)]
        mask, special = found.special_tokens_mask, self.info.max_length - self.room
        before = mask.index(0) if 0 in mask else 0
        after = special - before
        first, last = parts[0], parts[-1]
        own = [part.part(before, len(part.ids) - after) for part in parts]
        whole = joined([first.part(0, before), *own, last.part(len(last.ids) - after, len(last.ids))])
        return whole if found.overflowing else first, Special(before, after)

    def arrays(self, batch: Sequence[Encoded], inputs: Iterable[str]) -> dict[str, IntArray]:
        """Return int64 ``[len(batch), longest]`` for each of ``inputs``, padded on the right."""
        longest = max(1, *(len(row.ids) for row in batch))
        gaps = [longest - len(row.ids) for row in batch]
        pad = self.info.pad_id
        found = {
            "input_ids": ([*row.ids, *[pad] * gap] for row, gap in zip(batch, gaps, strict=True)),
            "attention_mask": ([1] * (longest - gap) + [0] * gap for gap in gaps),
            "token_type_ids": ([*row.type_ids, *[0] * gap] for row, gap in zip(batch, gaps, strict=True)),
        }
        return {name: ints(found[name], (len(batch), longest)) for name in inputs}


def read_tokenizer(tokenizer_json: str, info: TokenizerInfo) -> Tokenizer:
    """Return the tokenizer without the padding and the truncation that its file may say."""
    try:
        tokenizer = Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # noqa: BLE001 - tokenizers raises nothing more precise
        raise BundleError("the tokenizer cannot be read", where=info.file, got=error) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _encoded(found: Encoding, *, places: bool) -> Encoded:
    if places:
        return Encoded(found.ids, found.type_ids, found.offsets, found.word_ids)
    return Encoded(found.ids, found.type_ids)


def _pair_form(tokenizer: Tokenizer) -> _PairForm | None:
    """Return how a tokenizer without truncation joins two texts; None if that cannot be seen."""
    (found,) = tokenizer.encode_batch_fast([("a", "a")])
    which, every = found.sequence_ids, Encoded(found.ids, found.type_ids)
    if 0 not in which or 1 not in which:
        return None
    first, second = which.index(0), which.index(1)
    after_first, after_second = first + which.count(0), second + which.count(1)
    special = (every.part(0, first), every.part(after_first, second), every.part(after_second, len(which)))
    return _PairForm(special, (found.type_ids[first], found.type_ids[second]))


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of each text of a pair are kept: the longer is cut, then both.

    https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/utils/truncation.rs
    """
    if first + second <= room:
        return first, second
    short, long = sorted((first, second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (short, long) if first <= second else (long, short)


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Return the tokens of all parts as of one text."""
    return Encoded(
        list(chain.from_iterable(part.ids for part in parts)),
        list(chain.from_iterable(part.type_ids for part in parts)),
        list(chain.from_iterable(part.spans for part in parts)),
        list(chain.from_iterable(part.words for part in parts)),
    )


def plan_batches(lengths: Sequence[int], max_batch_tokens: int, max_batch: int = MAX_BATCH) -> list[list[int]]:
    """Group texts of ``lengths`` tokens into the batches that cost least in all; return each batch's indices.

    A batch costs its rows times its longest text, and ``RUN_COST``. It has at most ``max_batch`` rows and
    ``max_batch_tokens`` tokens with padding, unless one text alone is more. Longest first: memory grows once.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    # costs[i] is the least cost of the i longest texts, starts[i] where the last batch among them starts.
    costs, starts = [0, *[sys.maxsize] * len(order)], [0] * (len(order) + 1)
    for start, index in enumerate(order):
        longest = lengths[index]
        rows = max(1, min(max_batch, max_batch_tokens // max(1, longest), len(order) - start))
        cost = costs[start] + RUN_COST
        for end in range(start + 1, start + rows + 1):
            cost += longest
            if cost < costs[end]:
                costs[end], starts[end] = cost, start
    batches = []
    end = len(order)
    while end:
        batches.append(order[starts[end] : end])
        end = starts[end]
    return batches[::-1]


def _check_text(text: object, index: int) -> None:
    parts = text if isinstance(text, tuple) and len(text) == 2 else (text,)
    for part in parts:
        if not isinstance(part, str):
            expected = "a string, or a tuple of two"
            raise TextError(f"text {index} is not a string", got=type(part).__name__, expected=expected)
        try:
            part.encode()
        except UnicodeEncodeError as error:
            got = f"U+{ord(part[error.start]):04X} at position {error.start}"
            raise TextError(
                f"text {index} is not valid Unicode", got=got, expected="no half of a surrogate pair"
            ) from None
