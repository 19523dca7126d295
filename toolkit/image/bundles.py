"""Bundles on their way into an image: whole, each under its own name, for the right platform."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import BundleError, UsageError
from toolkit.image.platforms import PLATFORMS, Platform
from toolkit.image.store import file_digest
from toolkit.image.wheels import Kind
from toolkit.runtime.bundle import AnyBundle, open_any
from toolkit.runtime.manifest import OWN_FILES

FOLDER = "bundles"  # in the image


@dataclass(frozen=True)
class Shipped:
    """A bundle whose files are what its manifest says, and its folder's name in the image."""

    bundle: AnyBundle
    name: str

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files that go into the image: the manifest's and those that guard it."""
        folder = self.bundle.folder
        own = [folder / name for name in OWN_FILES if (folder / name).is_file()]
        return (*own, *(folder / name for name in self.bundle.manifest.files))


def read_shipped(folder: Path) -> Shipped:
    """Return a bundle after a look at every digest; BundleError for one that is altered or holds anything else."""
    bundle = open_any(folder)
    manifest = bundle.manifest
    for name, info in manifest.files.items():
        problem = bundle.size_problem(name)
        if problem:
            raise problem
        if file_digest(folder / name) != info.sha256:
            raise BundleError("a file of the bundle is not what the manifest says", where=folder / name)
    strangers = sorted({path.name for path in folder.iterdir()} - {*OWN_FILES, *manifest.files})
    if strangers:
        raise BundleError("the bundle holds what its manifest does not list", where=folder, got=", ".join(strangers))
    return Shipped(bundle, re.sub(r"[^A-Za-z0-9._-]+", "-", f"{manifest.name}-{manifest.target.name}").strip("-."))


def runtime_kind(bundles: Iterable[AnyBundle], *, slim: bool) -> Kind:
    """Return what a runtime for these bundles is; UsageError where it has to work with arrays without numpy."""
    tasks = {bundle.manifest.task: bundle.folder for bundle in bundles}
    if slim and "tensors" in tasks:
        what = "a bundle whose model takes arrays needs numpy, which --slim leaves out"
        raise UsageError(what, where=tasks["tensors"], hint="leave --slim away, or slim = true in a stack")
    if "text-generation" in tasks:
        return "slim generation" if slim else "generation"
    return "slim" if slim else "standard"


def place(
    folders: Sequence[Path], named: Sequence[tuple[Platform, Path]], platforms: Sequence[Platform] | None
) -> Mapping[Platform, tuple[Shipped, ...]]:
    """Return each platform's bundles: those of ``named`` where they are told to go, the others where they run.

    ``platforms`` None means all that there is a bundle for. UsageError for a bundle that would run nowhere in the
    image, a platform without any, and two bundles of one name and target.
    """
    placed: dict[Platform, list[Shipped]] = {platform: [] for platform in platforms or ()}
    for folder in folders:
        shipped = read_shipped(folder)
        found = [platform for platform in PLATFORMS.values() if platform.target == _architecture(shipped)]
        if not found or (platforms and found[0] not in platforms):
            expected = ", ".join(platform.name for platform in platforms or PLATFORMS.values())
            raise UsageError("the bundle runs on no platform of the image", where=folder, got=_architecture(shipped),
                             expected=expected, hint="name its platform with --platform, or leave it out")  # fmt: skip
        placed.setdefault(found[0], []).append(shipped)
    for platform, folder in named:
        shipped = read_shipped(folder)
        if platform.target != _architecture(shipped):
            got = f"a bundle for {_architecture(shipped)}"
            raise UsageError(f"the bundle does not run on {platform.name}", where=folder, got=got)
        if platforms and platform not in platforms:
            raise UsageError("--bundle-for names a platform that --platform does not", got=platform.name)
        placed.setdefault(platform, []).append(shipped)
    for platform, shipped_there in placed.items():
        _check(platform, shipped_there)
    return {platform: tuple(sorted(there, key=lambda one: one.name)) for platform, there in placed.items()}


def _architecture(shipped: Shipped) -> str:
    return shipped.bundle.manifest.target.architecture


def _check(platform: Platform, shipped: Iterable[Shipped]) -> None:
    names = Counter(one.name for one in shipped)
    if not names:
        hint = f"add a bundle for {platform.target}, or leave the platform out of --platform"
        raise UsageError(f"there is no bundle for {platform.name}", hint=hint)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice:
        raise UsageError("two bundles have the same name and target", got=twice, expected="each once in an image")
