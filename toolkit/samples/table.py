"""Local files read by ``datasets`` into columns, leaving nothing behind and printing nothing."""

import csv
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from toolkit.errors import DataError, MissingExtraError, UsageError
from toolkit.samples.check import check_json, check_table, text_of
from toolkit.strict import nearest

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt")


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name, and where they came from."""

    columns: dict[str, list[object]]
    where: str
    source: str
    licence: str = "not stated"


def read_file(path: Path) -> Table:
    """Read a csv, tsv, jsonl, json, parquet or txt file; a txt file has one text a line.

    Raises UsageError for another suffix, DataError for a file that is not what its suffix says,
    MissingExtraError without ``datasets``.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        got = repr(suffix) if suffix else "no suffix"
        expected = ", ".join(SUFFIXES)
        raise UsageError("unknown kind of file", where=path, got=got, expected=expected, hint=nearest(suffix, SUFFIXES))
    with quiet_datasets() as datasets, TemporaryDirectory(prefix="edgequant-") as cache:
        read = {".csv": _read_table, ".tsv": _read_table, ".parquet": _read_parquet, ".txt": _read_lines}
        columns = read.get(suffix, _read_json)(datasets, path, cache)
    return Table(columns=columns, where=str(path), source=f"local file {path.name}")


def _read_table(datasets: ModuleType, path: Path, cache: str) -> dict[str, list[object]]:
    tabs = path.suffix.lower() == ".tsv"
    layout = check_table(path, text_of(path), tabs=tabs)
    table = datasets.Dataset.from_csv(
        str(path),
        cache_dir=cache,
        keep_in_memory=True,
        # Every cell as it stands: without these, "NA" and "None" are no texts and "007" is the number 7.
        features=datasets.Features({name: datasets.Value("string") for name in layout.columns}),
        keep_default_na=False,
        encoding="utf-8-sig",
        sep="\t" if tabs else ",",
        quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
    )
    return _columns(table)


def _read_json(datasets: ModuleType, path: Path, cache: str) -> dict[str, list[object]]:
    check_json(path, text_of(path))
    try:
        return _columns(datasets.Dataset.from_json(str(path), cache_dir=cache, keep_in_memory=True))
    except (ValueError, datasets.exceptions.DatasetsError) as error:
        raise _refused(path, error, "a column has values of one type in every row") from error


def _read_parquet(datasets: ModuleType, path: Path, cache: str) -> dict[str, list[object]]:
    try:
        return _columns(datasets.Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True))
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise _refused(path, error, "a parquet file") from error


def _read_lines(datasets: ModuleType, path: Path, cache: str) -> dict[str, list[object]]:
    text_of(path)
    table = datasets.Dataset.from_text(str(path), cache_dir=cache, keep_in_memory=True, encoding="utf-8-sig")
    return _columns(table)


def _columns(table: Any) -> dict[str, list[object]]:  # noqa: ANN401 - a datasets.Dataset, which has no types
    return {name: list(table[name]) for name in table.column_names}


def _refused(path: Path, error: BaseException, expected: str) -> DataError:
    reason = str(error.__cause__ or error).strip().splitlines()
    return DataError("a file cannot be read", where=path, got=reason[0] if reason else repr(error), expected=expected)


@contextmanager
def quiet_datasets() -> Iterator[ModuleType]:
    """Give the module ``datasets`` with its progress bars and log off, and put both back afterwards.

    Both are settings of the whole process, for which the library has no parameter.
    """
    try:
        import datasets  # noqa: PLC0415 - half a second, and an extra that the device lacks
        from huggingface_hub import utils as hub  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "reading a set of texts needs the package datasets",
            got=error,
            hint="pip install 'edgequant[quantize]'",
        ) from error
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    bars = [module for module in (datasets, hub) if not module.are_progress_bars_disabled()]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    for module in bars:
        module.disable_progress_bars()
    try:
        yield datasets
    finally:
        for module in bars:
            module.enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
