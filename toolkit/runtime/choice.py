"""Several bundles in one folder: for each model the variant that uses most of what this CPU has."""

import os
from collections.abc import Iterable
from pathlib import Path

from toolkit.runtime import cpu
from toolkit.runtime.bundle import Bundle, open_bundle
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.manifest import FILE_NAME


def choose(
    paths: Iterable[str | os.PathLike[str]], architecture: str | None = None, features: frozenset[str] | None = None
) -> tuple[Bundle, ...]:
    """Return one bundle for each model's name, in the order of the names; ``paths`` are bundles or folders of them.

    ``architecture`` and ``features`` are this CPU's unless given. Of several variants the one with the most required
    features wins, then the first in the order given. A single variant of a model is taken as it is: ``verify`` tells
    whether it suits this CPU. BundleError where none of several does; UsageError where there is no bundle at all.
    """
    here = architecture or cpu.architecture()
    have = cpu.features() if features is None else features
    models: dict[str, list[Bundle]] = {}
    for path in paths:
        for bundle in _bundles(Path(path)):
            models.setdefault(bundle.manifest.name, []).append(bundle)
    return tuple(_best(models[name], here, have) for name in sorted(models))


def _bundles(path: Path) -> Iterable[Bundle]:
    if (path / FILE_NAME).exists() or not path.is_dir():
        return [open_bundle(path)]
    found = [open_bundle(folder) for folder in sorted(path.iterdir()) if (folder / FILE_NAME).is_file()]
    if not found:
        hint = "name a bundle, or a folder with bundles in it"
        raise UsageError("there is no bundle in the folder", where=path, hint=hint)
    return found


def _best(variants: list[Bundle], here: str, have: frozenset[str]) -> Bundle:
    if len(variants) == 1:
        return variants[0]
    targets = [bundle.manifest.target for bundle in variants]
    fit = [
        (len(target.requires), bundle)
        for target, bundle in zip(targets, variants, strict=True)
        if target.architecture == here and not cpu.missing(target.requires, have)
    ]
    if not fit:
        name = variants[0].manifest.name
        expected = "; ".join(f"{one.name}: {one.architecture} with {', '.join(one.requires)}" for one in targets)
        raise BundleError(f"no variant of {name} runs on this CPU", got=here, expected=expected)
    return max(fit, key=lambda pair: pair[0])[1]
