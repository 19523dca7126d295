"""The labels of a classifier, as config.json has them, and what a head of so many logits is for."""

from toolkit.errors import ModelError
from toolkit.runtime.manifest import Task
from toolkit.sources.files import Fields

_SINGLE, _SEVERAL = "single_label_classification", "multi_label_classification"


def sequence_task(config: Fields | None, count: int, asked: Task | None) -> Task:
    """Return what ``count`` logits of a text, or of a pair of texts, are for: one is a reranker's score.

    ModelError where the user asked for the other of the two, and for regression to several numbers.
    """
    where = config.path if config else ""
    if asked == "reranking" and count != 1:
        raise ModelError("the model is no reranker", where=where, got=f"{count} outputs", expected="1: the score")
    if asked == "classification" and count == 1:
        hint = "--task reranking takes its one output as the score of a pair of texts"
        raise ModelError("the model gives one number, not classes", where=where, got="1 output", hint=hint)
    if count > 1 and _kind(config) == "regression":
        hint = "one number is taken as a reranker's score; regression to several is not supported"
        raise ModelError("the model gives numbers, not classes", where=where, got=f"{count} outputs", hint=hint)
    return "reranking" if count == 1 else "classification"


def read_labels(config: Fields | None, count: int) -> tuple[tuple[str, ...], bool]:
    """Return the names of ``count`` logits, in order, and whether several labels may hold at once.

    Without id2label they are LABEL_0, LABEL_1, … as in transformers.
    """
    where, kind = config.path if config else "", _kind(config)
    if kind not in (_SINGLE, _SEVERAL):
        expected = "single- or multi_label_classification"
        raise ModelError("unknown problem_type", where=where, got=kind, expected=expected)
    table = config.values.get("id2label") if config else None
    if table is None:
        table = {str(i): f"LABEL_{i}" for i in range(count)}
    if not isinstance(table, dict) or set(table) != {str(i) for i in range(count)}:
        got = ", ".join(map(str, table)) if isinstance(table, dict) else table
        raise ModelError(
            "id2label does not fit the logits", where=where, got=got, expected=f"the keys 0 to {count - 1}"
        )
    return tuple(str(table[str(i)]) for i in range(count)), kind == _SEVERAL


def _kind(config: Fields | None) -> str:
    return config.text("problem_type", _SINGLE) if config else _SINGLE
