"""The golden feeds of a bundle of arrays, written by the builder and run on the device."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from toolkit.runtime.errors import BundleError
from toolkit.runtime.tensor_files import npz
from toolkit.runtime.tensor_manifest import TensorGolden, TensorModelInfo
from toolkit.runtime.tensors import Array, Feed, TensorModel, sqnr_db

Row = tuple[Feed, Mapping[str, Array]]
"""A feed and the outputs that are compared."""


def pack(rows: Sequence[Row], info: TensorModelInfo) -> bytes:
    """Return the file's bytes, the same for equal rows; an output that a row leaves out is not compared."""
    ways = (("in", info.inputs), ("out", info.outputs))
    return npz(
        {
            f"{row}.{way}.{index}": arrays[tensor.name]
            for row, pair in enumerate(rows)
            for (way, tensors), arrays in zip(ways, pair, strict=True)
            for index, tensor in enumerate(tensors)
            if tensor.name in arrays
        }
    )


def worst_db(model: TensorModel, folder: Path, golden: TensorGolden) -> float:
    """Run the feeds and return the least SQNR of an output against what the builder saw.

    BundleError if the file does not hold them, an output is not finite, or has another type or shape.
    """
    found = [db for row in _read(folder / golden.file, golden.rows, model.info) for db in _row_db(model, *row)]
    return min(found, default=float("inf"))


def _row_db(model: TensorModel, feed: Feed, expected: Mapping[str, Array]) -> list[float]:
    outputs = model.run(feed)
    for name, array in expected.items():
        got = outputs[name]
        if (got.dtype, got.shape) != (array.dtype, array.shape):
            what = f"output {name!r} is not as the builder saw it"
            raise BundleError(what, got=f"{got.dtype} {got.shape}", expected=f"{array.dtype} {array.shape}")
    return [sqnr_db(array, outputs[name]) for name, array in expected.items() if array.dtype.kind == "f"]


def _read(path: Path, rows: int, info: TensorModelInfo) -> list[Row]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise BundleError("the golden feeds cannot be read", where=path, got=error) from None
    names = [(f"in.{i}", tensor.name) for i, tensor in enumerate(info.inputs)]
    told = [(f"out.{i}", tensor.name) for i, tensor in enumerate(info.outputs)]
    found: list[Row] = []
    for row in range(rows):
        feed, outputs = (
            {name: arrays[f"{row}.{key}"] for key, name in pairs if f"{row}.{key}" in arrays} for pairs in (names, told)
        )
        if not outputs:
            raise BundleError("a golden feed has no outputs", where=path, got=f"row {row}", expected=f"{rows} rows")
        found.append((feed, outputs))
    return found
