"""What an engine is told to build, and the calibration inputs it reads: files, so that any Python can take them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Feed = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Order:
    """``model`` is a float ONNX file, ``feeds`` what ``write_feeds`` wrote, ``out`` the file to write: paths."""

    model: str
    feeds: str
    out: str
    isa: str
    """The target's kernels: avx2, vnni, neon, dotprod or i8mm."""
    pair_saturation: bool
    """The target's kernels add pairs of products in 16 bits."""


def write_feeds(path: Path, feeds: Iterable[Feed]) -> None:
    """Write inputs of many runs to one ``.npz``."""
    arrays = {f"{number}|{name}": array for number, feed in enumerate(feeds) for name, array in feed.items()}
    np.savez(path, **arrays)  # type: ignore[arg-type,unused-ignore]


def read_feeds(path: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield the inputs of one run after the other; no more than one is held."""
    with np.load(path, allow_pickle=False) as arrays:
        runs: dict[str, list[str]] = {}
        for key in arrays.files:
            runs.setdefault(key.partition("|")[0], []).append(key)
        for keys in runs.values():
            yield {key.partition("|")[2]: arrays[key] for key in keys}


class Reader:
    """Calibration inputs as the quantizer of onnxruntime asks for them."""

    def __init__(self, feeds: str) -> None:
        self._feeds = read_feeds(feeds)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the inputs of the next run, or None after the last."""
        return next(self._feeds, None)
