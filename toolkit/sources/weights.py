"""Float weights out of safetensors files, each checked when it is taken."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from toolkit.errors import ModelError, NumericsError
from toolkit.sources.files import Files

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_FLOATS = ("F64", "F32", "F16", "BF16")
# What the first BERT checkpoints call the two vectors of a layer normalization.
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

Array = npt.NDArray[np.float32]


class Weights:
    """The tensors of one model. ``prefix`` is put before a name where the checkpoint has it there.

    ``folder``, which ends with a slash, is where the files lie below the model's own.
    """

    def __init__(self, files: Files, prefix: str, folder: str = "") -> None:
        self._homes = _homes(files, folder)
        self._prefix = prefix

    def __contains__(self, name: str) -> bool:
        return self._full(name) is not None

    def rows(self, name: str) -> int:
        """Return the first dimension of a tensor, unread."""
        with _open(self._home(name)) as file:
            return int(file.get_slice(self._full(name)).get_shape()[0])

    def take(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return a tensor as float32.

        ModelError if it is missing, not of ``shape`` or not float; NumericsError if it is not finite.
        """
        path = self._home(name)
        full = self._full(name)
        with _open(path) as file:
            part = file.get_slice(full)
            got, kind = tuple(part.get_shape()), part.get_dtype()
            if got != shape:
                hint = "config.json and the weights are of different models"
                raise ModelError(f"tensor {full} has the wrong shape", where=path, got=got, expected=shape, hint=hint)
            if kind not in _FLOATS:
                hint = "edgequant starts from float weights, not from quantized ones"
                expected = "one of " + ", ".join(_FLOATS)
                raise ModelError(f"tensor {full} is not float", where=path, got=kind, expected=expected, hint=hint)
            array: Array = np.asarray(file.get_tensor(full)).astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            bad = int(array.size - np.isfinite(array).sum())
            hint = "the checkpoint is damaged, or its training diverged"
            raise NumericsError(f"tensor {full} has {bad} values that are NaN or infinite", where=path, hint=hint)
        return array

    def _full(self, name: str) -> str | None:
        names = [name, *(name.replace(new, old) for new, old in _OLD_NAMES.items() if name.endswith(new))]
        return next((full for n in names for full in (self._prefix + n, n) if full in self._homes), None)

    def _home(self, name: str) -> Path:
        full = self._full(name)
        if full is not None:
            return self._homes[full]
        where = min(self._homes.values())
        some = ", ".join(sorted(self._homes)[:3])
        hint = "the checkpoint is incomplete, or config.json is of another model"
        raise ModelError(
            f"tensor {name} is missing", where=where, got=f"{len(self._homes)} others ({some}, …)", hint=hint
        )


def _homes(files: Files, folder: str) -> dict[str, Path]:
    """Return the file of each tensor: of one file, or of the shards that the index names."""
    single = files.find(folder + SINGLE)
    if single is not None:
        shards = [single]
    else:
        index = files.fields(folder + INDEX)
        table = index.values.get("weight_map") if index else None
        if index is None or not isinstance(table, dict) or not table:
            hint = "load the model in Python and save it again: older libraries wrote other files"
            where, expected = files.roots[0] / folder, f"{SINGLE} or {INDEX}"
            raise ModelError("no weights found", where=where, expected=expected, hint=hint)
        shards = [index.path.parent / str(name) for name in sorted(set(table.values()))]
    homes: dict[str, Path] = {}
    for path in shards:
        with _open(files.take(path, folder + path.name)) as file:
            homes.update(dict.fromkeys(file.keys(), path))
    if not homes:
        raise ModelError("the file holds no tensors", where=shards[0])
    return homes


def _open(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError as error:
        raise ModelError("a file of weights is missing", where=path, hint="fetch the model again") from error
    except (SafetensorError, OSError) as error:
        hint = "the file is damaged or was cut off; fetch the model again (git lfs pull, if it came by git)"
        raise ModelError(f"cannot read weights: {error}", where=path, hint=hint) from error
