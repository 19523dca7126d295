"""Probes: small integer matrix products with exactly known answers, which show what a place's int8 kernels compute.

All of them are in one model, in the two forms that bundles use. Two 8-bit products of neighbouring rows, added in 16
bits with saturation, are what VPMADDUBSW gives (ONNX Runtime's U8S8 kernels for AVX2 and AVX-512 without VNNI);
every other kernel adds exactly. What is bounded as in ``toolkit.numerics.weights`` is exact on both.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from toolkit.errors import EdgequantError
from toolkit.isa.place import TIMEOUT, Place, outputs
from toolkit.isa.probe_model import FORMS, Form, Ints, Probe, probe_model
from toolkit.numerics.weights import PAIR_LIMIT
from toolkit.runtime.manifest import ModelInfo, SessionInfo
from toolkit.runtime.raw import RawJob

SATURATION = "saturation"
_SEED = 4


@dataclass(frozen=True)
class Proof:
    """What the probes showed: whether pairs saturate, and that each of ``probes`` sums is what such a kernel gives."""

    saturates: bool
    probes: int
    sums: int
    saturation_sum: int
    exact_sum: int

    def __str__(self) -> str:
        kind = "saturate in 16 bits (VPMADDUBSW)" if self.saturates else "are added exactly"
        return (
            f"pairs of products {kind}: 64 x 255 x 127 gives {self.saturation_sum}, exact is {self.exact_sum}; "
            f"{self.sums} sums of {self.probes} probes are to the unit what such kernels give"
        )


def prove(place: Place, *, timeout: float = TIMEOUT) -> Proof:
    """Run every probe in a place and return what they show.

    Raises EdgequantError where the sums are neither those of exact nor those of saturating kernels.
    """
    probes = all_probes()
    with tempfile.TemporaryDirectory(prefix="edgequant-probe-") as folder:
        path = Path(folder) / "probes.onnx"
        path.write_bytes(probe_model(probes))
        got = np.asarray(outputs(place, _job(path, probes), timeout=timeout)[0], np.float64)
    return judge(probes, got, str(place))


def judge(probes: tuple[Probe, ...], got: npt.NDArray[np.float64], where: str) -> Proof:
    """Return what the sums of all probes, one after the other, show; EdgequantError where they fit no kernel."""
    first = next(probe for probe in probes if probe.name.startswith(SATURATION))
    split = np.split(got, np.cumsum([probe.exact().size for probe in probes])[:-1])
    found = next(sums for probe, sums in zip(probes, split, strict=True) if probe is first)
    saturates = not np.array_equal(found, first.exact().reshape(-1))
    for probe, sums in zip(probes, split, strict=True):
        expected = (probe.saturated() if saturates else probe.exact()).reshape(-1)
        wrong = np.flatnonzero(sums != expected)
        if len(wrong):
            raise EdgequantError(
                "int8 kernels compute wrong sums",
                where=f"{where}, probe {probe.name}: {len(wrong)} of {sums.size} sums",
                got=f"{sums[wrong[0]]:.0f}",
                expected=f"{expected[wrong[0]]}, or for exact kernels {probe.exact().reshape(-1)[wrong[0]]}",
                hint="do not ship for this CPU with this version of onnxruntime",
            )
    return Proof(saturates, len(probes), got.size, int(found[0]), int(first.exact()[0, 0]))


def all_probes() -> tuple[Probe, ...]:
    """Return the probes, always the same ones; those called ``bounded`` are exact on every kernel."""
    random = np.random.default_rng(_SEED)
    return tuple(probe for form in FORMS for probe in _probes(form, random))


def _probes(form: Form, random: np.random.Generator) -> Iterator[Probe]:
    for rows in (1, 4):  # one row is a kernel of its own
        top = np.full((rows, 64), 255, np.int64)
        yield Probe(f"{SATURATION} M={rows}", form, top, np.full((64, 17), 127, np.int64), 0)
        yield Probe(f"{SATURATION} down M={rows}", form, top, np.full((64, 17), -127, np.int64), 0)
    for k in (1, 2, 3, 4, 5, 61, 62, 63, 64, 131):  # every K mod 4, short and long
        for m, n in ((1, 1), (1, 8), (1, 33), (3, 7), (6, 16), (13, 31)):
            zero_point = int(random.choice([0, 128, 255]))
            a = np.where(random.random((m, k)) < 0.3, random.choice([0, 255], (m, k)), random.integers(0, 256, (m, k)))
            size = f"M={m} K={k} N={n}"
            yield Probe(f"bounded {size}", form, a, bounded_weights(random, k, n), zero_point)
            yield Probe(f"full range {size}", form, a, random.integers(-127, 128, (k, n)), zero_point)


def bounded_weights(random: np.random.Generator, k: int, n: int) -> Ints:
    """Return s8 weights [k, n] at the edge of the pair bound: a pair is (p, 128 - p), or as large with two signs."""
    first = random.integers(1, PAIR_LIMIT, (-(-k // 2), n))
    second = np.where(random.random(first.shape) < 0.5, PAIR_LIMIT - first, random.integers(-127, 0, first.shape))
    pairs = np.stack([first, second], 1) * random.choice([-1, 1], (len(first), 1, n))
    return np.asarray(pairs.reshape(-1, n)[:k], np.int64)


def _job(path: Path, probes: tuple[Probe, ...]) -> RawJob:
    info = ModelInfo(path.name, ("input_ids",), "sums", sum(probe.exact().size for probe in probes))
    row = np.concatenate([probe.a.reshape(-1) for probe in probes])
    return RawJob(str(path), info, SessionInfo(), 1, rows=(tuple(row.tolist()),))
