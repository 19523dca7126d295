"""Write tokens.json: digests of what transformers' tokenizers give for the texts of ``token_texts``.

Run it with ../shared beside the repository, where transformers is installed (4.57.6 with tokenizers 0.22.2 wrote the
committed file; torch is not needed): ``python tests/golden/make_tokens.py``. It also tokenizes with transformers'
tokenizers in plain Python, which share no code with the package ``tokenizers``, and stops if those differ.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tokenizers
import transformers as hf
from token_texts import LENGTH, OVERLAP, TOKENIZERS, digests, pairs, texts

FAST = {"minilm": hf.BertTokenizerFast, "roberta": hf.RobertaTokenizerFast, "mpnet": hf.MPNetTokenizerFast}
SLOW = {"minilm": hf.BertTokenizer, "roberta": hf.RobertaTokenizer, "mpnet": hf.MPNetTokenizer}


def main() -> None:
    """Tokenize, compare and write."""
    found = {name: _digests(name) for name in FAST}
    made_by = f"transformers {hf.__version__}, tokenizers {tokenizers.__version__}"
    text = json.dumps({"made_by": made_by, "digests": found}, indent=1) + "\n"
    (Path(__file__).parent / "tokens.json").write_text(text, encoding="utf-8")


def _digests(name: str) -> dict[str, list[str]]:
    fast = FAST[name].from_pretrained(TOKENIZERS[name])
    every, both = texts(), pairs()
    whole = fast(every)["input_ids"]
    _compare_slow(name, every, whole)
    cut = {"truncation": True, "max_length": LENGTH}
    windows = fast(every, return_overflowing_tokens=True, stride=OVERLAP, **cut)
    groups: list[list[list[int]]] = [[] for _ in every]
    for index, ids in zip(windows["overflow_to_sample_mapping"], windows["input_ids"], strict=True):
        groups[index].append(ids)
    return {
        "whole": digests(whole),
        "cut": digests(fast(every, **cut)["input_ids"]),
        "windows": digests(groups),
        "pairs": digests(_pairs(fast, both, {})),
        "cut pairs": digests(_pairs(fast, both, cut)),
    }


def _pairs(fast: hf.PreTrainedTokenizerFast, both: list[tuple[str, str]], cut: dict[str, object]) -> Iterator[object]:
    """Yield ids and, for the family that has them, token types."""
    found = fast([a for a, _ in both], [b for _, b in both], **cut)
    types = found.get("token_type_ids") or [[0] * len(ids) for ids in found["input_ids"]]
    return (list(row) for row in zip(found["input_ids"], types, strict=True))


def _compare_slow(name: str, every: list[str], whole: list[list[int]]) -> None:
    slow = _slow(name)
    differ = [index for index, text in enumerate(every) if slow(text)["input_ids"] != whole[index]]
    if differ:
        sys.exit(f"{name}: texts {differ[:9]} of {len(differ)} differ from the tokenizer in plain Python")


def _slow(name: str) -> hf.PreTrainedTokenizer:
    if name != "minilm":
        return SLOW[name].from_pretrained(TOKENIZERS[name])
    vocabulary = json.loads((TOKENIZERS[name] / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write("".join(f"{word}\n" for word in sorted(vocabulary, key=vocabulary.__getitem__)))
        file.flush()
        return hf.BertTokenizer(file.name)


if __name__ == "__main__":
    main()
