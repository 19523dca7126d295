"""The root filesystem of one architecture, as a folder: Python of Debian, the pinned wheels and edgequant's runtime.

No root, no daemon, no emulator: packages and wheels are only unpacked. Owners, modes and times are set when the
folder becomes a layer (``layers``).
"""

import io
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import toolkit
from toolkit.errors import EdgequantError
from toolkit.image import debs, prune, tools, wheels
from toolkit.image.elf import drop_unneeded, read_binary, strip_symbols
from toolkit.image.lock import SHIPPED, Lock, Part, read_lock
from toolkit.image.platforms import Platform
from toolkit.image.store import Store
from toolkit.image.wheels import Kind

LIBRARY = "opt/edgequant"  # the wheels and the runtime; the image's PYTHONPATH
USER = 65532  # as in other images without a shell: "nonroot"
_ETC = {
    "etc/passwd": f"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/tmp:/sbin/nologin\n",
    "etc/group": f"root:x:0:\nnonroot:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_FOLDERS = ("dev", "proc", "sys", "run", "tmp", "var/lib/dpkg/status.d")


@dataclass(frozen=True)
class Sources:
    """Where the parts come from: a cache of downloads, a lock that they must match, a folder of wheels."""

    cache: Path
    lock: Lock | None = None
    wheelhouse: Path | None = None

    @property
    def store(self) -> Store:
        """Return the cache as a store."""
        return Store(self.cache)


@dataclass(frozen=True)
class Parts:
    """What a root filesystem is made of, in the store; ``python`` is its version, such as 3.11."""

    platform: Platform
    python: str
    debs: tuple[Part, ...]
    wheels: tuple[Part, ...]


def choose_parts(platform: Platform, sources: Sources, kind: Kind = "standard") -> Parts:
    """Return the parts of one platform, downloaded where the cache lacks them, as the lock says where it says it.

    Without a lock, packages are what apt serves now and wheels those of the shipped lock.
    """
    store = sources.store
    packages = debs.locked(sources.lock, platform, store) if sources.lock else debs.newest(platform, store)
    python = python_of(packages, platform, sources.lock)
    return Parts(platform, python, packages, choose_wheels(platform, python, kind, sources))


def python_of(packages: Sequence[Part], platform: Platform, lock: Lock | None = None) -> str:
    """Return the version of the one Python among the packages; EdgequantError where there is none."""
    found = [part.name for part in packages if part.name.startswith("python3.")]
    if len(found) != 1:
        where = lock.where if lock else ""
        expected = f"one python3.N-minimal for {platform.name}"
        raise EdgequantError("the packages do not hold one Python", where=where, got=found or "none", expected=expected)
    return found[0].removeprefix("python").removesuffix("-minimal")


def choose_wheels(platform: Platform, python: str, kind: Kind, sources: Sources) -> tuple[Part, ...]:
    """Return the wheels of one platform for a version of Python, as the lock or the shipped one says."""
    lock = sources.lock or read_lock(SHIPPED)
    return wheels.locked(lock, platform, python, kind, sources.store, sources.wheelhouse)


def make_system(parts: Parts, store: Store, root: Path) -> None:
    """Unpack the Debian packages into the folder ``root``: a system with Python, no shell and no package manager."""
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("lib", "lib64", "bin"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for name, text in _ETC.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for part in parts.debs:
        _unpack_deb(_stored(part, store), part, root)
    (root / "usr/bin/python3").symlink_to(f"python{parts.python}")
    _drop_dangling(root)


def make_runtime(parts: Sequence[Part], store: Store, root: Path, kind: Kind) -> None:
    """Unpack wheels and copy edgequant's runtime into ``root/opt/edgequant``."""
    library = root / LIBRARY
    for part in parts:
        _unpack_wheel(_stored(part, store), part, library, c_engine=kind != "standard")
    package = Path(toolkit.__file__).parent
    for path in [package / "__init__.py", *sorted((package / "runtime").rglob("*.py"))]:
        copied = library / "toolkit" / path.relative_to(package)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)


def make_rootfs(platform: Platform, sources: Sources, root: Path, kind: Kind = "standard") -> Parts:
    """Fill the empty folder ``root`` with one platform's whole root filesystem, bundles aside; return its parts."""
    parts = choose_parts(platform, sources, kind)
    make_system(parts, sources.store, root)
    make_runtime(parts.wheels, sources.store, root, kind)
    drop_unneeded(root, platform)
    return parts


def _stored(part: Part, store: Store) -> Path:
    path = store.get(part.sha256)
    if path is None:
        raise EdgequantError("a download in the cache was altered while it was used", where=store.folder, got=part.file)
    return path


def _unpack_deb(deb: Path, part: Part, root: Path) -> None:
    _extract(_dpkg("--fsys-tarfile", deb), root, prune.deb_path)
    # Where scanners of images look for what is installed.
    control = tools.run(["dpkg-deb", "--field", deb], "dpkg-deb cannot read a package")
    (root / "var/lib/dpkg/status.d" / part.name).write_text(control, encoding="utf-8")


def _dpkg(option: str, deb: Path) -> bytes:
    done = subprocess.run(["dpkg-deb", option, deb], capture_output=True, check=False)
    if done.returncode:
        got = done.stderr.decode(errors="replace").strip()
        raise EdgequantError("dpkg-deb cannot read a package", where=deb, got=got)
    return done.stdout


def _extract(tar: bytes, root: Path, place: Callable[[str], str | None]) -> None:
    """Write the files and links that ``place`` gives a name; what it gives none stays out."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for entry in archive:
            name = place(str(PurePosixPath(entry.name.removeprefix("./"))))
            if name is None or not (entry.isfile() or entry.issym()):
                continue
            path = _inside(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(entry) if entry.isfile() else None
            if content:
                path.write_bytes(content.read())
                path.chmod(0o755 if entry.mode & 0o111 else 0o644)
            else:
                path.symlink_to(entry.linkname)


def _unpack_wheel(wheel: Path, part: Part, library: Path, *, c_engine: bool) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if not entry.is_dir() and prune.keeps_wheel_file(part.name, entry.filename, c_engine=c_engine):
                path = _inside(library, entry.filename)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))
                if read_binary(path):
                    strip_symbols(path)


def _inside(root: Path, name: str) -> Path:
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise EdgequantError("a package has a file that would lie outside of the image", got=name)
    return root / name


def _drop_dangling(root: Path) -> None:
    """Remove links to what stayed out; an absolute link is read as the image reads it."""
    for path in [path for path in root.rglob("*") if path.is_symlink()]:
        target = path.readlink()
        if not (root / str(target).lstrip("/") if target.is_absolute() else path.parent / target).exists():
            path.unlink()
