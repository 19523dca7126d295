"""Results to files and standard output, in bounded memory; no file under its name before it is whole."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from toolkit.runtime.arrays import FloatArray
from toolkit.runtime.classifier import Prediction
from toolkit.runtime.reranker import Ranked
from toolkit.runtime.token_classifier import Entity

Embedded = Iterable[tuple[Sequence[str], FloatArray]]
"""Chunks of texts with their embeddings, float32 ``[texts, dimension]``."""


@contextmanager
def output(path: str | None) -> Iterator[BinaryIO]:
    """Open a file, written beside and renamed when whole, or stdout for None; a device is written direct."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as handle:
            yield handle
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as handle:
            yield handle
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_embeddings_jsonl(chunks: Embedded, handle: BinaryIO) -> int:
    """Write ``{"text": …, "embedding": […]}`` a line, digits for float32 exactly. Return the count."""
    count = 0
    for texts, vectors in chunks:
        form = ",".join(["%.9g"] * vectors.shape[1])
        for text, vector in zip(texts, vectors, strict=True):
            numbers = form % tuple(vector.tolist())
            handle.write(f'{{"text":{_quote(text)},"embedding":[{numbers}]}}\n'.encode())
        handle.flush()
        count += len(texts)
    return count


def write_embeddings_npy(chunks: Embedded, handle: BinaryIO, dimension: int) -> int:
    """Write one ``.npy`` array, float32 ``[texts, dimension]``; for a pipe it is collected first."""
    if not handle.seekable():
        rows = [(len(vectors), vectors.tobytes()) for _, vectors in chunks]
        count = sum(number for number, _ in rows)
        handle.writelines([_npy_header(count, dimension), *(data for _, data in rows)])
        return count
    handle.write(_npy_header(0, dimension))
    count = 0
    for texts, vectors in chunks:
        handle.write(vectors.tobytes())
        count += len(texts)
    handle.seek(0)
    handle.write(_npy_header(count, dimension))
    return count


def write_predictions_jsonl(
    chunks: Iterable[tuple[Sequence[str], Sequence[Sequence[Prediction]]]], handle: BinaryIO
) -> int:
    """Write ``{"text": …, "labels": [{"label": …, "score": …}, …]}`` a line, best first. Return the count."""
    count = 0
    for texts, rows in chunks:
        for text, row in zip(texts, rows, strict=True):
            labels = ",".join(f'{{"label":{_quote(found.label)},"score":{found.score:.6g}}}' for found in row)
            handle.write(f'{{"text":{_quote(text)},"labels":[{labels}]}}\n'.encode())
        handle.flush()
        count += len(texts)
    return count


def write_ranking_jsonl(texts: Sequence[str], ranked: Iterable[Ranked], handle: BinaryIO) -> int:
    """Write ``{"text": …, "index": …, "score": …}`` a line, in the order of ``ranked``. Return the count."""
    count = 0
    for found in ranked:
        line = f'{{"text":{_quote(texts[found.index])},"index":{found.index},"score":{found.score:.6g}}}\n'
        handle.write(line.encode())
        count += 1
    return count


def write_entities_jsonl(chunks: Iterable[tuple[Sequence[str], Sequence[Sequence[Entity]]]], handle: BinaryIO) -> int:
    """Write ``{"text": …, "entities": [{"label": …, "start": …, "end": …, "text": …, "score": …}, …]}`` a line.

    Return the count of texts.
    """
    count = 0
    for texts, rows in chunks:
        for text, row in zip(texts, rows, strict=True):
            entities = ",".join(
                f'{{"label":{_quote(e.label)},"start":{e.start},"end":{e.end},"text":{_quote(e.text)},'
                f'"score":{e.score:.6g}}}'
                for e in row
            )
            handle.write(f'{{"text":{_quote(text)},"entities":[{entities}]}}\n'.encode())
        handle.flush()
        count += len(texts)
    return count


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _npy_header(rows: int, dimension: int) -> bytes:
    """Return numpy's file header, format 1.0, always 128 bytes: it is written again when the rows are known.

    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html; every target is little-endian.
    """
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1")
