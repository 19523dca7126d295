"""Arrays in ``.npz`` and ``.npy`` files; nothing that would run code is ever read."""

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from toolkit.runtime.errors import UsageError
from toolkit.runtime.tensor_manifest import TensorInfo
from toolkit.runtime.tensors import Array

FORMATS = (".npz", ".npy")


def read_arrays(path: Path, inputs: Sequence[TensorInfo]) -> dict[str, Array]:
    """Return the arrays of an ``.npz`` by name, or that of an ``.npy`` as the model's one input.

    UsageError for a file that is not there or is no such file, and for an ``.npy`` where a model has several inputs.
    """
    if not path.is_file():
        raise UsageError("there is no such file of arrays", where=path, expected=" or ".join(FORMATS))
    try:
        with path.open("rb") as handle:
            found = np.load(handle, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {_only(path, inputs): found}
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        hint = "numpy.savez writes such a file; arrays of Python objects are not read"
        raise UsageError("the arrays cannot be read", where=path, got=error, expected=" or ".join(FORMATS),
                         hint=hint) from None  # fmt: skip


def _only(path: Path, inputs: Sequence[TensorInfo]) -> str:
    if len(inputs) != 1:
        expected = f"an .npz with {', '.join(tensor.name for tensor in inputs) or 'no arrays'}"
        raise UsageError("an .npy is for a model of one input", where=path, expected=expected)
    return inputs[0].name


def npz(arrays: Mapping[str, Array]) -> bytes:
    """Return the bytes of an ``.npz``, the same for equal arrays."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.asarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980
            archive.writestr(entry, data.getvalue(), zipfile.ZIP_DEFLATED)
    return made.getvalue()
