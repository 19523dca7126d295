"""From what the user names (a shipped set, a FILE, a set of the hub) to samples."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from toolkit.errors import DataError, EmptySetError, RecipeError, UsageError
from toolkit.samples import values
from toolkit.samples.columns import assign
from toolkit.samples.hub import read_hub
from toolkit.samples.samples import Samples
from toolkit.samples.shipped import (
    CalibrationPart,
    EvaluationPart,
    checked_file,
    describe,
    paragraphs,
    shipped_names,
)
from toolkit.samples.table import SUFFIXES, Table, read_file
from toolkit.strict import nearest

Role = Literal["calibration", "evaluation"]


def load_samples(
    spec: str,
    role: Role,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
    *,
    pairs: bool = False,
) -> Samples:
    """Load a set of texts.

    ``spec`` is the name of a shipped set, a local file, or ``hub:ID[@REVISION][:SPLIT]``; a shipped set goes
    before a file of the same name (write ``./NAME`` for that). ``columns`` maps the roles text, text2, label
    and score to columns; roles that it lacks are found by the usual names. ``limit`` keeps that many samples,
    evenly spaced over the set.

    For calibration there are only texts: those of text2 follow those of text, blank ones are dropped and
    texts that stand there twice count once. For a model that reads ``pairs`` they stay pairs, where there are any.
    For evaluation a blank text is an error, because each row counts.

    Raises UsageError, DataError, RecipeError (a wrong ``set.toml``), MissingExtraError.
    """
    if limit is not None and limit < 1:
        raise UsageError("a limit must leave something", got=limit, expected="1 or more")
    if spec in shipped_names():
        samples = _load_shipped(spec, role, columns, pairs=pairs)
    else:
        table = read_hub(spec, role) if spec.startswith("hub:") else read_file(_existing(spec))
        samples = _to_samples(spec if spec.startswith("hub:") else Path(spec).name, role, table, columns, pairs=pairs)
    return _limited(samples, limit).sealed()


def _existing(spec: str) -> Path:
    path = Path(spec)
    if path.is_dir():
        raise UsageError("a folder is no set of texts", where=path, expected=f"a file ({', '.join(SUFFIXES)})")
    if not path.exists():
        names = shipped_names()
        raise UsageError(
            "no such file or shipped set",
            got=repr(spec),
            expected=f"{', '.join(names)}, a FILE ({', '.join(SUFFIXES)}) or hub:ID",
            hint=nearest(spec, names),
        )
    return path


def _load_shipped(name: str, role: Role, columns: Mapping[str, str] | None, *, pairs: bool) -> Samples:
    part: CalibrationPart | EvaluationPart = getattr(describe(name), role)
    table = _shipped_table(name, part)
    roles = columns or part.columns.model_dump(exclude_none=True)
    samples = _to_samples(name, role, table, roles, pairs=pairs)
    if isinstance(part, CalibrationPart):
        if samples.pairs:
            return samples
        joined = replace(samples, texts=(*samples.texts, *paragraphs(samples.texts, part)))
        return _with_others(joined, part)
    strange = sorted({str(label) for label in samples.labels or ()} - set(part.labels))
    if part.labels and strange:
        expected = ", ".join(part.labels)
        raise DataError("a label that set.toml does not name", where=table.where, got=strange[0], expected=expected)
    return samples


def _shipped_table(name: str, part: CalibrationPart | EvaluationPart) -> Table:
    description = describe(name)
    columns = read_file(checked_file(name, part)).columns
    where, count = f"{name}, {part.file}", len(next(iter(columns.values())))
    if count != part.rows:
        raise DataError("a shipped set has another size", where=where, got=f"{count} rows", expected=part.rows)
    return Table(columns, where=where, source=description.source, licence=description.licence)


def _with_others(samples: Samples, part: CalibrationPart) -> Samples:
    """Return a shipped set's texts with those of other ones that it names, and with their sources and licences."""
    names = shipped_names()
    for name, count in part.also.items():
        if name not in names:
            where = f"{samples.name}, calibration.also"
            raise RecipeError("no such set is shipped", where=where, got=name, expected=", ".join(names))
        other = describe(name).calibration
        roles = other.columns.model_dump(exclude_none=True)
        added = _limited(_to_samples(name, "calibration", _shipped_table(name, other), roles), count)
        samples = replace(
            samples,
            texts=tuple(dict.fromkeys((*samples.texts, *added.texts))),
            source=f"{samples.source}; {added.source}",
            licence=f"{samples.licence}; {added.licence}",
        )
    return samples


def _to_samples(
    name: str, role: Role, table: Table, columns: Mapping[str, str] | None, *, pairs: bool = False
) -> Samples:
    roles = assign(tuple(table.columns), columns, table.where)
    read = _evaluation if role == "evaluation" else _pairs if pairs and "text2" in roles else _calibration
    made = read(roles, table)
    if not made.texts:
        raise EmptySetError("a set has no text", where=table.where, expected="one text at least")
    return replace(made, name=name)


def _calibration(roles: Mapping[str, str], table: Table) -> Samples:
    found: dict[str, None] = {}
    for role in ("text", "text2"):
        if role in roles:
            column = values.texts(table.columns[roles[role]], roles[role], table.where)
            found.update(dict.fromkeys(text for text in column if text.strip()))
    return Samples(name="", digest="", licence=table.licence, source=table.source, texts=tuple(found))


def _pairs(roles: Mapping[str, str], table: Table) -> Samples:
    columns = (values.texts(table.columns[roles[role]], roles[role], table.where) for role in ("text", "text2"))
    found = dict.fromkeys(pair for pair in zip(*columns, strict=True) if all(text.strip() for text in pair))
    texts, pairs = tuple(first for first, _ in found), tuple(second for _, second in found)
    return Samples(name="", digest="", licence=table.licence, source=table.source, texts=texts, pairs=pairs)


def _evaluation(roles: Mapping[str, str], table: Table) -> Samples:
    cells = {role: (table.columns[name], name, table.where) for role, name in roles.items()}
    plain = {
        role: values.no_blank(values.texts(*cells[role]), *cells[role][1:])
        for role in ("text", "text2")
        if role in cells
    }
    return Samples(
        name="",
        digest="",
        licence=table.licence,
        source=table.source,
        texts=plain["text"],
        pairs=plain.get("text2"),
        scores=values.scores(*cells["score"]) if "score" in cells else None,
        labels=values.labels(*cells["label"]) if "label" in cells else None,
        tags=values.tags(cells["tags"][0], plain["text"], *cells["tags"][1:]) if "tags" in cells else None,
    )


def _limited(samples: Samples, limit: int | None) -> Samples:
    count = len(samples.texts)
    if limit is None or limit >= count:
        return samples
    return samples.taking([row * count // limit for row in range(limit)])
