"""Calibration and evaluation inputs: arrays in files, one feed at a time, so that memory does not grow with them."""

import glob
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolkit.errors import DataError, EmptySetError, UsageError
from toolkit.runtime.tensor_files import FORMATS, read_arrays
from toolkit.runtime.tensor_manifest import DYNAMIC, TensorInfo
from toolkit.runtime.tensors import Array, Feed, check_feed

LABELS = "labels"
"""The array of an evaluation file that says which class each sample is of, where no input is called so."""


@dataclass(frozen=True)
class Feeds:
    """Samples, each a feed of its own: ``rows`` are those of ``files`` that count, as (file, place in it).

    A place is None where the whole file is one feed. ``labels`` has the class of each row, where it is known.
    """

    name: str
    files: tuple[Path, ...]
    rows: tuple[tuple[int, int | None], ...]
    inputs: tuple[TensorInfo, ...]
    labels: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Feed]:
        held: tuple[int, dict[str, Array]] = (-1, {})
        for file, place in self.rows:
            if held[0] != file:
                held = (file, _read(self.files[file], self.inputs))
            yield _feed(held[1], self.inputs, place, self.files[file])

    def taking(self, places: Sequence[int], name: str = "") -> "Feeds":
        """Return the same with some of the rows only."""
        labels = None if self.labels is None else tuple(self.labels[place] for place in places)
        return replace(self, name=name or self.name, rows=tuple(self.rows[place] for place in places), labels=labels)

    def digests(self) -> list[str]:
        """Return a digest of each feed."""
        return [_digest(feed) for feed in self]


def read_feeds(spec: str, inputs: tuple[TensorInfo, ...], most: int | None = None) -> Feeds:
    """Open an ``.npz`` or ``.npy`` whose first axis is the samples, or a folder or glob of files, each one feed.

    UsageError where there is nothing of that name or an array does not fit the model, EmptySetError for no sample.
    """
    path = Path(spec).expanduser()
    files = (path,) if path.is_file() else _several(path, spec)
    if path.is_file():
        arrays = _read(path, inputs)
        count = _count(arrays, inputs, path)
        feeds = Feeds(
            path.name, files, tuple((0, place) for place in range(count)), inputs, _labels(arrays, inputs, path)
        )
    else:
        feeds = Feeds(path.name, files, tuple((file, None) for file in range(len(files))), inputs)
    if not len(feeds):
        raise EmptySetError("there is no sample in the file", where=path, hint="the first axis is the samples")
    return feeds if most is None else feeds.taking(range(min(most, len(feeds))))


def split(feeds: Feeds) -> tuple[Feeds, Feeds]:
    """Return every other sample to calibrate with, and the rest to judge by; DataError where there are too few.

    A sample that is given more than once is on one side alone.
    """
    first: dict[str, int] = {}
    place = [first.setdefault(digest, len(first)) for digest in feeds.digests()]
    sides = [[row for row, one in enumerate(place) if one % 2 == side] for side in (0, 1)]
    if not all(sides):
        hint = "give more samples, or others to judge by: --eval"
        raise DataError("too few different samples to hold some back", where=feeds.name, got=len(first),
                        expected="at least 2", hint=hint)  # fmt: skip
    return feeds.taking(sides[0], f"half of {feeds.name}"), feeds.taking(sides[1], f"the other half of {feeds.name}")


def spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` places among ``count``, evenly apart."""
    return sorted({count * place // most for place in range(most)}) if count > most else list(range(count))


def check_disjoint(calibration: Feeds, evaluation: Feeds) -> str:
    """Return the digest of the evaluation feeds; DataError where calibration has seen one of them."""
    seen, held = set(calibration.digests()), evaluation.digests()
    shared = sum(digest in seen for digest in held)
    if shared:
        hint = "judge by samples that calibration has not seen"
        got = f"{shared} of {len(held)} samples of {evaluation.name} are in {calibration.name} too"
        raise DataError("calibration and evaluation overlap", got=got, hint=hint)
    return hashlib.sha256("".join(held).encode()).hexdigest()


def _several(path: Path, spec: str) -> tuple[Path, ...]:
    found = path.iterdir() if path.is_dir() else map(Path, glob.glob(spec, recursive=True))  # noqa: PTH207 - absolute too
    files = tuple(sorted(file for file in found if file.suffix in FORMATS and file.is_file()))
    if not files:
        expected = ".npz or .npy: a file, a folder of them, or a pattern such as 'inputs/*.npz'"
        raise UsageError("there are no such inputs", where=spec, expected=expected)
    return files


def _read(path: Path, inputs: tuple[TensorInfo, ...]) -> dict[str, Array]:
    arrays = read_arrays(path, inputs)
    unknown = sorted(set(arrays) - {tensor.name for tensor in inputs} - {LABELS})
    missing = [tensor.name for tensor in inputs if tensor.name not in arrays]
    if unknown or missing:
        what = f"the model has no input {unknown[0]!r}" if unknown else f"there is no array for input {missing[0]!r}"
        raise UsageError(what, where=path, got=", ".join(arrays), expected=", ".join(map(str, inputs)))
    return arrays


def _count(arrays: dict[str, Array], inputs: tuple[TensorInfo, ...], path: Path) -> int:
    """Return how many samples all arrays have along their first axis."""
    lengths = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise UsageError("the arrays have different numbers of samples", where=path, got=got,
                         hint="the first axis of each is the samples")  # fmt: skip
    for tensor in inputs:
        array, rank = arrays[tensor.name], len(tensor.axes)
        batch = array.ndim == rank and rank > 0 and tensor.axes[0] in (1, DYNAMIC)
        if not batch and array.ndim != rank + 1:
            shown = ", ".join("?" if one == DYNAMIC else str(one) for one in tensor.axes)
            expected = f"[samples, {shown}]" if rank else "[samples]"
            raise UsageError(f"the array for input {tensor.name!r} has another number of axes", where=path,
                             got=list(array.shape), expected=expected)  # fmt: skip
    return next(iter(lengths.values()), 0)


def _labels(arrays: dict[str, Array], inputs: tuple[TensorInfo, ...], path: Path) -> tuple[int, ...] | None:
    found = arrays.get(LABELS)
    if found is None or LABELS in {tensor.name for tensor in inputs}:
        return None
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise UsageError("the labels are no row of whole numbers", where=path, got=f"{found.dtype} {found.shape}",
                         expected="[samples], the index of each sample's class")  # fmt: skip
    return tuple(map(int, found))


def _feed(arrays: dict[str, Array], inputs: tuple[TensorInfo, ...], place: int | None, path: Path) -> Feed:
    """Return one feed: a whole file's, or a sample cut out, with an axis of 1 where the model has one for a batch."""
    feed = {}
    for tensor in inputs:
        array = arrays[tensor.name]
        if place is not None:
            array = array[place : place + 1] if array.ndim == len(tensor.axes) else np.asarray(array[place])
        feed[tensor.name] = array
    check_feed(feed, inputs, path if place is None else f"{path}, sample {place}")
    return feed


def _digest(feed: Feed) -> str:
    total = hashlib.sha256()
    for name, array in sorted(feed.items()):
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
