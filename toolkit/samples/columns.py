"""Which column of a table has which role: as the caller says, else by the usual names."""

from collections.abc import Iterable, Mapping, Sequence

from toolkit.errors import UsageError
from toolkit.strict import nearest

# The usual names of each role, compared without case; the first that is there wins.
USUAL: dict[str, tuple[str, ...]] = {
    "text": (
        *(
            "text",
            "texts",
            "sentence",
            "sentence1",
            "sentence_1",
            "text1",
            "tokens",
            "words",
            "text_1",
            "s1",
            "question1",
            "premise",
        ),
        *(
            "review",
            "tweet",
            "content",
            "body",
            "document",
            "passage",
            "query",
            "question",
            "title",
            "anchor",
        ),
    ),
    "text2": (*("text2", "text_2", "sentence2", "sentence_2", "s2", "question2", "hypothesis", "pair", "positive"),),
    "label": ("label", "labels", "class", "category", "sentiment", "emotion"),
    "score": ("score", "similarity_score", "similarity", "gold_score", "relatedness_score", "relatedness"),
    "tags": ("tags", "ner_tags", "ner"),
}


def assign(names: Sequence[str], given: Mapping[str, str] | None, where: str) -> dict[str, str]:
    """Return role to column for a table with the columns ``names``; ``text`` is always among the roles.

    A column that is given stands; the other roles are found among the rest. A table of one column is text.
    A score belongs to a pair: without ``text2`` it is left out, unless it was given.

    Raises UsageError for an unknown role, an unknown column, no text, and a given score without pair.
    """
    roles = dict(given or {})
    for role, name in roles.items():
        _check(role, name, names, where)
    for role, usual in USUAL.items():
        if role not in roles:
            found = _find(usual, [name for name in names if name not in roles.values()])
            roles.update({role: found} if found else {})
    if "text" not in roles and len(names) == 1:
        roles["text"] = names[0]
    if "text" not in roles:
        raise UsageError(
            "which column is the text?",
            where=where,
            got=f"the columns {_list(names)}",
            expected="a usual name, like text or sentence",
            hint="say which column has the role text",
        )
    if "text2" not in roles and "score" in roles:
        if given and "score" in given:
            raise UsageError(
                "a score needs a second text",
                where=where,
                got=f"the columns {_list(names)}",
                expected="a column with the role text2",
                hint="say which column has the role text2; classes go by the role label",
            )
        del roles["score"]
    return roles


def _check(role: str, name: str, names: Sequence[str], where: str) -> None:
    if role not in USUAL:
        raise UsageError(
            "no such role of a column",
            where=where,
            got=repr(role),
            expected=_list(USUAL),
            hint=nearest(role, USUAL),
        )
    if name not in names:
        raise UsageError(
            f"no such column for the role {role}",
            where=where,
            got=repr(name),
            expected=f"one of {_list(names)}",
            hint=nearest(name, names),
        )


def _find(usual: Iterable[str], names: Sequence[str]) -> str | None:
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    return next((by_lower[name] for name in usual if name in by_lower), None)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
