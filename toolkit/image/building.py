"""An image of bundles for one or more platforms: system, runtime and bundles, each a layer of its own."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import toolkit
from toolkit.image import rootfs
from toolkit.image.about import PLACE, Made, write_about
from toolkit.image.base import use_base
from toolkit.image.bundles import FOLDER, Shipped, runtime_kind
from toolkit.image.bytecode import Compiler
from toolkit.image.config import image_config
from toolkit.image.elf import require_libraries
from toolkit.image.layers import Layer, Settings, write_layer
from toolkit.image.layout import Image, blob_folder, moment, write_layout
from toolkit.image.lock import Part
from toolkit.image.platforms import PLATFORMS, Platform
from toolkit.image.wheels import Kind
from toolkit.progress import Track, silent
from toolkit.runtime import cpu

RUNTIME = f"edgequant {toolkit.__version__} runtime"


@dataclass(frozen=True)
class Order:
    """What is to be built: bundles by platform, where the rest comes from, and the image's NAME:TAG."""

    bundles: Mapping[Platform, tuple[Shipped, ...]]
    sources: rootfs.Sources
    name: str
    settings: Settings = field(default_factory=Settings)
    slim: bool = False
    base: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def kind(self, platform: Platform) -> Kind:
        """Return what one platform's runtime is for; UsageError for one that cannot be slim."""
        return runtime_kind((shipped.bundle for shipped in self.bundles[platform]), slim=self.slim)


def build_image(order: Order, layout: Path, track: Track = silent) -> str:
    """Fill the empty folder ``layout`` with an OCI image layout and return the image's digest."""
    platforms = sorted(order.bundles, key=lambda platform: platform.name)
    for platform in platforms:
        order.kind(platform)
    with tempfile.TemporaryDirectory(prefix="edgequant-image-") as folder:
        builder = _Builder(order, layout, Path(folder))
        named = ", ".join(platform.name for platform in platforms)
        images = [builder.image(platform) for platform in track(platforms, f"image for {named}", len(platforms))]
    return write_layout(layout, images, order.name, order.settings.epoch)


def make_compiler(parts: rootfs.Parts, sources: rootfs.Sources, home: Path) -> Compiler | None:
    """Make the folder ``home`` a root filesystem that compiles modules on this machine.

    None where no Python of an image runs on this machine: modules then stay source.
    """
    here = next((one for one in PLATFORMS.values() if one.target == cpu.architecture()), None)
    if here is None:
        return None
    home.mkdir()
    chosen = parts if parts.platform == here else rootfs.choose_parts(here, sources)
    rootfs.make_system(chosen, sources.store, home)
    return Compiler(home, here)


class _Builder:
    """One run: root filesystems in a scratch folder, layers in the layout; what was written once is shared."""

    def __init__(self, order: Order, layout: Path, scratch: Path) -> None:
        self.order, self.scratch = order, scratch
        self.blobs = blob_folder(layout)
        self.bundles: dict[Path, Layer] = {}
        self.compiler: Compiler | None = None

    def image(self, platform: Platform) -> Image:
        root = self.scratch / platform.architecture
        system, python, parts = self.based(platform, root) if self.order.base else self.own(platform, root)
        runtime = self.layer(root, root / rootfs.LIBRARY, RUNTIME)
        shipped = self.order.bundles[platform]
        bundles = tuple(map(self.bundle, shipped))
        order, below = self.order, (*system, runtime, *bundles)
        about = self.about(Made(order.name, platform, parts, shipped, below, order.kind(platform)))
        layers = (*system, runtime, about, *bundles)
        created = moment(self.order.settings.epoch)
        return Image(platform, layers, image_config(shipped, python, self.order.labels, created))

    def own(self, platform: Platform, root: Path) -> tuple[tuple[Layer, ...], str, tuple[Part, ...]]:
        """Make the root filesystem of Debian's packages; return its layer and its Python."""
        root.mkdir()
        parts = rootfs.make_rootfs(platform, self.order.sources, root, self.order.kind(platform))
        self.compile(parts, root)
        paths = [path for path in root.rglob("*") if path.relative_to(root).parts[0] != "opt"]
        named = ", ".join(f"{part.name} {part.version}" for part in parts.debs)
        layer = write_layer(root, paths, self.blobs, self.order.settings, f"Debian: {named}")
        return (layer,), f"/usr/bin/python{parts.python}", (*parts.debs, *parts.wheels)

    def based(self, platform: Platform, root: Path) -> tuple[tuple[Layer, ...], str, tuple[Part, ...]]:
        """Take the user's base; its modules and the runtime's stay source, since its Python is not run here."""
        order = self.order
        base = use_base(order.base or Path(), platform, root, self.blobs, order.settings)
        wheels = rootfs.choose_wheels(platform, base.version, order.kind(platform), order.sources)
        rootfs.make_runtime(wheels, order.sources.store, root, order.kind(platform))
        require_libraries(root, root / rootfs.LIBRARY, platform)
        return base.layers, base.python, wheels

    def compile(self, parts: rootfs.Parts, root: Path) -> None:
        if self.compiler is None:
            self.compiler = make_compiler(parts, self.order.sources, self.scratch / "compiler")
        if self.compiler:
            self.compiler.compile(root)

    def bundle(self, shipped: Shipped) -> Layer:
        """Write a bundle's layer, once for all platforms: its bytes depend on the bundle alone."""
        folder = shipped.bundle.folder
        if folder not in self.bundles:
            staged = self.scratch / "bundles" / str(len(self.bundles))
            place = staged / FOLDER / shipped.name
            place.mkdir(parents=True)
            for path in shipped.files:
                shutil.copyfile(path, place / path.name)
            self.bundles[folder] = self.layer(staged, place, f"bundle {shipped.name}")
        return self.bundles[folder]

    def about(self, made: Made) -> Layer:
        """Write the layer that tells what the others are made of."""
        root = self.scratch / f"about-{made.platform.architecture}"
        write_about(made, root)
        return self.layer(root, root / PLACE, "SBOM and provenance")

    def layer(self, root: Path, folder: Path, created_by: str) -> Layer:
        return write_layer(root, folder.rglob("*"), self.blobs, self.order.settings, created_by)
