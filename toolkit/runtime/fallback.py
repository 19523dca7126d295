"""An embedder that is the first of several bundles that this machine can run."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from toolkit.runtime import cpu
from toolkit.runtime.bundle import load_opened, open_bundle
from toolkit.runtime.embedder import Embedder
from toolkit.runtime.errors import BundleError, EdgequantError, UsageError
from toolkit.runtime.host import Engine, Host, host
from toolkit.runtime.manifest import Manifest

_LOG = logging.getLogger(__name__)

BundlePath = str | os.PathLike[str]


@dataclass(frozen=True)
class Skipped:
    """A bundle that was not taken, and why, in one line."""

    bundle: str
    reason: str


class FallbackEmbedder(Embedder):
    """The first embedder that loads, chosen once: all its embeddings are of one model and one dimension.

    ``name`` is the chosen bundle's, ``bundle`` its folder; ``skipped`` are those before it, also logged as warnings
    of the logger ``toolkit.runtime.fallback``. Embeddings of two models cannot be compared, whatever their dimension:
    keep ``name`` with what is stored.
    """

    def __init__(
        self,
        bundles: Sequence[BundlePath],
        dimension: int | None = None,
        threads: int | None = None,
        engine: Engine | None = None,
        library: BundlePath | None = None,
    ) -> None:
        """Try bundles in their order; those of another ``dimension``, if one is given, are skipped too.

        BundleError, with each one's reason, if none loads; UsageError if none is named.
        """
        if isinstance(bundles, str | os.PathLike) or not bundles:
            raise UsageError("bundles are not a list of folders", got=repr(bundles), hint="name at least one: [folder]")
        chosen = host(threads, engine, library)
        skipped: list[Skipped] = []
        for bundle in bundles:
            try:
                manifest, found = _loaded(bundle, dimension, chosen)
            except (EdgequantError, MemoryError, OSError) as error:
                skipped.append(Skipped(str(bundle), _line(error)))
                _LOG.warning("embedder %s is skipped: %s", skipped[-1].bundle, skipped[-1].reason)
                continue
            super().__init__(found.model, found.normalized)
            self.name, self.bundle, self.skipped = manifest.name, str(bundle), tuple(skipped)
            _LOG.info("embedder %s is used: %s, dimension %d", self.bundle, self.name, self.dimension)
            return
        reasons = "".join(f"\n  {one.bundle}: {one.reason}" for one in skipped)
        raise BundleError(f"none of {len(skipped)} embedding bundles can be used here{reasons}")


def _loaded(bundle: BundlePath, dimension: int | None, chosen: Host) -> tuple[Manifest, Embedder]:
    opened = open_bundle(bundle)
    manifest = opened.manifest
    if manifest.task != "embedding":
        raise BundleError("it gives no embeddings", got=manifest.task, expected="embedding")
    if dimension not in (None, manifest.model.dimension):
        raise BundleError("it has another dimension", got=manifest.model.dimension, expected=dimension)
    if manifest.target.architecture != cpu.architecture():
        raise BundleError("it is for another CPU", got=manifest.target.architecture, expected=cpu.architecture())
    if lacking := cpu.missing(manifest.target.requires):
        raise BundleError(f"this CPU lacks {', '.join(lacking)}")
    return manifest, cast(Embedder, load_opened(opened, chosen))


def _line(error: Exception) -> str:
    """Return an error's lines in one: what, where, got and expected."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
