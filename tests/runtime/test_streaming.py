from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.lm import VOCABULARY, WORDS, tokenizer_json
from toolkit.runtime.manifest import TokenizerInfo
from toolkit.runtime.streaming import Pieces, Stops
from toolkit.runtime.tokenization import read_tokenizer

TOKENIZER = read_tokenizer(tokenizer_json(), TokenizerInfo("tokenizer.json", 48, 0))
TOKENS = st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=20)


def decode(ids: list[int]) -> str:
    return TOKENIZER.decode(ids, skip_special_tokens=True)


@given(st.text(max_size=6), st.lists(st.one_of(st.sampled_from(WORDS), st.characters(exclude_categories=["Cs"]))))
def test_pieces_are_the_text_of_all_tokens(prompt, parts):
    before = [1, *(VOCABULARY[f"<0x{byte:02X}>"] for byte in prompt.encode())]
    words = [[part] if part in WORDS else [f"<0x{byte:02X}>" for byte in part.encode()] for part in parts]
    tokens = [VOCABULARY[token] for word in words for token in word]
    pieces = Pieces(decode, before)
    shown = [pieces.add(token) for token in tokens]
    assert "".join(shown) + pieces.rest() == decode([*before, *tokens])[len(decode(before)) :]


@given(TOKENS, TOKENS)
def test_no_tokens_are_too_strange(prompt, tokens):
    pieces = Pieces(decode, prompt)
    shown = "".join([*map(pieces.add, tokens), pieces.rest()])
    assert len(shown) <= len(decode([*prompt, *tokens]))


def test_a_character_is_shown_when_its_last_byte_has_come():
    pieces = Pieces(decode, [1])
    assert [pieces.add(VOCABULARY[f"<0x{byte:02X}>"]) for byte in "a😀é".encode()] == ["a", "", "", "", "😀", "", "é"]
    assert pieces.rest() == ""


def test_bytes_that_never_become_a_character_are_told_at_the_end():
    pieces = Pieces(decode, [1])
    assert [pieces.add(VOCABULARY[f"<0x{byte:02X}>"]) for byte in b"a\xe2\x98"] == ["a", "", ""]
    assert pieces.rest() == "\N{REPLACEMENT CHARACTER}" * 2


@given(st.lists(st.text("ab", max_size=4), max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_stops_cut_the_whole_text_wherever_the_pieces_are_cut(pieces, stops):
    text = "".join(pieces)
    places = [place for place in map(text.find, stops) if place >= 0]
    stop = Stops(stops)
    shown = ""
    for end, piece in enumerate(pieces, 1):
        shown += stop.add(piece)
        if stop.found:
            assert any(one in "".join(pieces[:end]) for one in stops)
            break
    assert stop.found == bool(places)
    shown += stop.rest()
    assert text.startswith(shown)
    assert not any(one in shown for one in stops)
    if not places:
        assert shown == text


def test_text_that_can_be_no_stop_string_is_not_held_back():
    stop = Stops(("END", "\n\n"))
    assert [stop.add(piece) for piece in ("a E", "Nd", "\n", "b\nE", "N", "D c")] == ["a ", "ENd", "", "\nb\n", "", ""]
    assert stop.found
    assert (stop.add("more"), stop.rest()) == ("", "")
