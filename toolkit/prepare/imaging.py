"""The one image of a stack's bundles: made where every one of them stands, unless it stands there itself."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import EdgequantError, UsageError
from toolkit.image.building import Order
from toolkit.image.bundles import place
from toolkit.image.layers import Settings
from toolkit.image.lock import read_lock
from toolkit.image.platforms import Platform, platform_of
from toolkit.image.reading import open_layout
from toolkit.image.rootfs import Sources
from toolkit.image.writing import default_name, image_name, write_image
from toolkit.prepare.building import Mode
from toolkit.prepare.outcome import ImageOutcome, Outcome
from toolkit.prepare.stack import ImageTable, Stack
from toolkit.prepare.stamp import Stamp, bundle_digest, image_stamp, made_digest, what_changed, write_stamp
from toolkit.prepare.units import Place, Unit
from toolkit.progress import Track


@dataclass(frozen=True)
class Parts:
    """Where the parts of an image come from, and the time that its files get."""

    cache: Path
    wheelhouse: Path | None
    epoch: int


@dataclass(frozen=True)
class ImageWork:
    """The image of one stack, with all paths found."""

    table: ImageTable
    name: str
    out: Path
    bundles: tuple[Path, ...]
    platforms: tuple[Platform, ...]
    base: Path | None
    lock: Path | None
    parts: Parts

    def stamp(self) -> Stamp:
        """Return what the image depends on."""
        base = None if self.base is None else [str(self.base), _newest(self.base)]
        said = self.table.model_dump(mode="json", include={"slim", "compression", "labels"})
        said |= {"name": self.name, "base": base, "epoch": self.parts.epoch}
        said["platforms"] = [platform.name for platform in self.platforms]
        return image_stamp(said, {folder.name: bundle_digest(folder) for folder in self.bundles}, self.lock)

    def order(self) -> Order:
        """Return what is to be built."""
        table, parts = self.table, self.parts
        lock = None if self.lock is None else read_lock(self.lock)
        return Order(
            bundles=place(self.bundles, (), self.platforms),
            sources=Sources(parts.cache, lock, parts.wheelhouse),
            name=self.name,
            settings=Settings(table.compression, parts.epoch),
            slim=table.slim,
            base=self.base,
            labels=table.labels,
        )


def image_work(stack: Stack, found: Place, work: Sequence[Unit], parts: Parts) -> ImageWork | None:
    """Return the image's work; None where the stack has no image; UsageError for a platform without any target."""
    table = stack.image
    if table is None:
        return None
    by_platform: dict[str, list[Path]] = {}
    for unit in work:
        by_platform.setdefault(unit.recipe.image.platform, []).append(unit.out)
    wanted: tuple[str, ...] = table.platforms or tuple(by_platform)
    for name in wanted:
        if name not in by_platform:
            expected = f"a platform of the stack's targets: {', '.join(by_platform)}"
            raise UsageError("no target of the stack runs on a platform of its image", got=name, expected=expected)
    return ImageWork(
        table=table,
        name=image_name(table.name) if table.name else default_name(stack.name),
        out=found.out / table.out,
        bundles=tuple(folder for name in dict.fromkeys(wanted) for folder in by_platform[name]),
        platforms=tuple(dict.fromkeys(map(platform_of, wanted))),
        base=None if table.base is None else found.home / table.base,
        lock=None if table.lock is None else found.home / table.lock,
        parts=parts,
    )


def make_image(
    work: ImageWork | None, models: Sequence[Outcome], fallbacks: Mapping[str, str], mode: Mode, track: Track
) -> ImageOutcome:
    """Build the image, or tell why not; what fails is told by the outcome."""
    if work is None:
        return ImageOutcome("skipped", "the stack has no table [image]")
    failed = [f"{one.model} for {one.target}" for one in models if one.result in ("failed", "gate failed")]
    if failed:
        return ImageOutcome("skipped", f"bundles are missing: {', '.join(failed)}")
    if mode.dry and any(outcome.result == "to build" for outcome in models):
        return ImageOutcome("to build", "bundles are to be built", work.out)
    started = time.monotonic()
    try:
        _same_tasks(models, fallbacks)
        return _made(work, mode, track, started)
    except (EdgequantError, OSError) as error:
        return ImageOutcome("failed", str(error), seconds=time.monotonic() - started)


def _made(work: ImageWork, mode: Mode, track: Track, started: float) -> ImageOutcome:
    stamp = work.stamp()
    why = "forced" if mode.force else what_changed(work.out, stamp)
    if not why:
        digest = _digest(work.out)
        if digest == made_digest(work.out):
            return ImageOutcome("up to date", "nothing changed", work.out, digest, time.monotonic() - started)
        why = "another image stands there, or a damaged one"
    if mode.dry:
        return ImageOutcome("to build", why, work.out)
    write_image(work.order(), work.out, track, replace=True)
    digest = _digest(work.out) or ""
    write_stamp(work.out, stamp, digest)
    return ImageOutcome("built", why, work.out, digest, time.monotonic() - started)


def _same_tasks(models: Sequence[Outcome], fallbacks: Mapping[str, str]) -> None:
    """Raise UsageError where a fallback has another task than what it stands in for: its answers would be others."""
    tasks = {outcome.model: outcome.task for outcome in models}
    for name, first in fallbacks.items():
        if tasks[name] != tasks[first]:
            got, expected = f"{name}: {tasks[name]}", f"{tasks[first]}, as {first} has"
            raise UsageError("a fallback has another task than the model it stands in for", got=got, expected=expected)


def _digest(out: Path) -> str | None:
    """Return the digest of an image after a look at every one in it; None where it is not whole."""
    try:
        with open_layout(out) as layout:
            return layout.digest
    except EdgequantError:
        return None


def _newest(path: Path) -> int:
    """Return when a file or anything in a folder changed last, in nanoseconds."""
    return max((one.stat().st_mtime_ns for one in (path, *path.rglob("*"))), default=0)
