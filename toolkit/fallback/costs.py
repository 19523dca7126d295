"""What each rung of each layer costs: CPU time measured on the target's kernels, else multiply-adds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.fallback.pieces import Piece
from toolkit.fallback.rungs import Rung, Unit
from toolkit.forms import Profile
from toolkit.isa.place import Place
from toolkit.isa.timing import Variant, cpu_seconds
from toolkit.lower import Linear
from toolkit.progress import Track, silent
from toolkit.runtime.manifest import SessionInfo
from toolkit.targets import Isa

Doubles = npt.NDArray[np.float64]
Pieces = Sequence[Sequence[Sequence[Piece]]]
"""[units][layers][rungs]"""
Profiles = tuple[Profile, ...]
ROUNDS = 5
INT8_GAIN: dict[Isa, float] = {"avx2": 1.75, "vnni": 4.0, "neon": 1.2, "dotprod": 4.0, "i8mm": 8.0}
"""Multiply-adds of an int8 GEMM in the time of one in float: the kernels' limits, where nothing can be timed."""


@dataclass(frozen=True)
class Costs:
    """[units, rungs, profiles]: CPU seconds, or multiply-adds where they are not ``measured``."""

    values: Doubles
    profiles: Profiles
    how: str
    measured: bool

    @property
    def shares(self) -> Doubles:
        """A rung's part in the time of all layers in float, by the profiles' weights: [units, rungs]."""
        weights = [profile.weight for profile in self.profiles]
        return np.asarray(np.average(self.values / self.values[:, -1:].sum(0), 2, weights), np.float64)


@dataclass(frozen=True)
class Clock:
    """Where layers are timed, with which session settings and for which profiles."""

    place: Place
    session: SessionInfo
    profiles: Profiles

    def layer(self, linear: Linear, models: Sequence[bytes]) -> Doubles:
        """Return the seconds of one layer's models [models, profiles]."""
        random, width = np.random.default_rng(0), len(linear.weight)
        rows = [random.normal(size=(one.batch * one.length, width)).astype(np.float32) for one in self.profiles]
        variants = [Variant(model, self.session) for model in models]
        seconds = cpu_seconds(self.place, variants, [{linear.input: each} for each in rows], ROUNDS)
        return np.asarray(np.median(seconds, axis=1).T, np.float64)


def measured(
    rungs: Sequence[Rung], units: Sequence[Unit], pieces: Pieces, clock: Clock, track: Track = silent
) -> Costs:
    """Return CPU seconds: layers of one shape and rung are timed once, and all rungs of a layer in turn."""
    kinds: dict[str, tuple[Linear, Sequence[Piece]]] = {}
    for unit, cut in zip(units, pieces, strict=True):
        for linear, rungs_of in zip(unit.linears, cut, strict=True):
            kinds.setdefault(_kind(rungs_of), (linear, rungs_of))
    timed: dict[str, Doubles] = {}
    for kind, (linear, rungs_of) in track(kinds.items(), "time layers", len(kinds)):
        models = [piece.as_model(linear, rung.model) for piece, rung in zip(rungs_of, rungs, strict=True)]
        timed[kind] = clock.layer(linear, models)
    values = np.array([sum(timed[_kind(rungs_of)] for rungs_of in cut) for cut in pieces])
    return Costs(values, clock.profiles, f"CPU time on {clock.place}", measured=True)


def estimated(pieces: Pieces, isa: Isa, profiles: Profiles) -> Costs:
    """Return multiply-adds, those in int8 counted for as many as their kernels do of them in the time of one."""
    gain = INT8_GAIN[isa]
    rows = np.array([profile.batch * profile.length for profile in profiles], np.float64)
    one = [np.sum([[piece.multiply_adds(gain) for piece in rungs_of] for rungs_of in cut], 0) for cut in pieces]
    how = f"multiply-adds, {gain:g} in int8 for one in float: nothing here can time the kernels of {isa}"
    return Costs(np.array(one)[:, :, None] * rows, profiles, how, measured=False)


def _kind(rungs_of: Sequence[Piece]) -> str:
    return " ".join(piece.signature for piece in rungs_of)
