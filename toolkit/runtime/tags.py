"""Tags of words, as in IOB2 or IOBES, and the entities that they name."""

from collections.abc import Iterator, Sequence

_OUTSIDE = "O"
_STARTS, _ENDS = "BSU", "ESLU"
_PREFIXES = {"B", "I", "E", "S", "L", "U"}


def split_tag(tag: str) -> tuple[str, str]:
    """Return prefix and label of a tag: ``B-person`` gives B and person, a tag without prefix counts as inside."""
    prefix, dash, label = tag.partition("-")
    return (prefix, label) if dash and prefix in _PREFIXES else ("I", tag)


def entities_of(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield label, first word and the word after the last of each entity.

    As conlleval reads tags: an entity goes on while tags inside have its label; a tag inside that follows another
    label, or none, starts an entity too. https://www.clips.uantwerpen.be/conll2000/chunking/conlleval.txt
    """
    label, start = "", 0
    for place, tag in enumerate([*tags, _OUTSIDE]):
        prefix, this = ("", "") if tag == _OUTSIDE else split_tag(tag)
        if label and (this != label or prefix in _STARTS):
            yield label, start, place
            label = ""
        if this and not label:
            label, start = this, place
        if label and prefix in _ENDS:
            yield label, start, place + 1
            label = ""
