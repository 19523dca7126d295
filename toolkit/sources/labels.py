"""The labels of a classifier, as config.json has them."""

from toolkit.errors import ModelError
from toolkit.sources.files import Fields


def read_labels(config: Fields | None, count: int) -> tuple[tuple[str, ...], bool]:
    """Return the names of ``count`` logits, in order, and whether several labels may hold at once.

    Without id2label they are LABEL_0, LABEL_1, … as in transformers. ModelError for regression.
    """
    where = config.path if config else ""
    kind = config.text("problem_type", "single_label_classification") if config else "single_label_classification"
    if count == 1 or kind == "regression":
        hint = "classifiers of two or more labels are supported; regression and rerankers are not yet"
        raise ModelError(
            "the model gives one number, not classes", where=where, got=f"{count} output, {kind}", hint=hint
        )
    if kind not in ("single_label_classification", "multi_label_classification"):
        raise ModelError(
            "unknown problem_type", where=where, got=kind, expected="single- or multi_label_classification"
        )
    table = config.values.get("id2label") if config else None
    if table is None:
        table = {str(i): f"LABEL_{i}" for i in range(count)}
    if not isinstance(table, dict) or set(table) != {str(i) for i in range(count)}:
        got = ", ".join(map(str, table)) if isinstance(table, dict) else table
        raise ModelError(
            "id2label does not fit the logits", where=where, got=got, expected=f"the keys 0 to {count - 1}"
        )
    return tuple(str(table[str(i)]) for i in range(count)), kind == "multi_label_classification"
