"""Arrays by name as bytes, from process to process. It needs numpy and nothing else."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


def packed(arrays: Arrays) -> bytes:
    """Return a line of JSON with the names, and each array as ``.npy``: an image has no zipfile for ``.npz``."""
    handle = io.BytesIO()
    handle.write(json.dumps(list(arrays)).encode() + b"\n")
    for array in arrays.values():
        np.lib.format.write_array(handle, np.asarray(array), allow_pickle=False)
    return handle.getvalue()


def unpack(data: bytes) -> dict[str, Array]:
    """Return the packed arrays; ValueError if these are none."""
    handle = io.BytesIO(data)
    names = json.loads(handle.readline())
    return {name: np.lib.format.read_array(handle, allow_pickle=False) for name in names}
