"""Debian packages of any architecture, by the host's own apt sources and keys, without root.

apt runs in a root of its own: nothing is installed there, and nothing of the host's state is read or changed. apt
checks the signed indices and every file's digest; the digest is recorded, and checked again at each use.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import EdgequantError
from toolkit.image import tools
from toolkit.image.lock import Lock, Part
from toolkit.image.platforms import Platform
from toolkit.image.store import Store

# What Python's packages depend on and no image needs: apt is told that they are there.
LEFT_OUT = (
    "debconf", "dpkg", "tar", "libdb5.3", "libdb5.3t64", "libncursesw6", "libnsl2", "libreadline8", "libreadline8t64",
    "libsqlite3-0", "libtinfo6", "libtirpc3", "libtirpc3t64", "media-types", "netbase", "tzdata",
)  # fmt: skip
_NO_APT = "images are built of Debian packages by apt-get; on another system name a root filesystem with --base"
_MOVED = (
    "Debian serves only the newest of each point release: write a new lock, or let apt's sources name a snapshot "
    "of the lock's day"
)


@dataclass(frozen=True)
class Apt:
    """A private root of apt for one architecture."""

    root: Path
    platform: Platform

    def run(self, program: str, *arguments: str, cwd: Path | None = None, hint: str = "") -> str:
        """Run apt-get or apt-cache in the root."""
        state = self.root.absolute() / self.platform.architecture
        for folder in ("lists/partial", "archives/partial"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        (state / "status").write_text("".join(map(_installed, LEFT_OUT)), encoding="utf-8")
        options = {
            "APT::Architecture": self.platform.architecture,
            "APT::Architectures": self.platform.architecture,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Debug::NoLocking": "true",
            "Dir::State": str(state),
            "Dir::State::lists": str(state / "lists"),
            "Dir::State::status": str(state / "status"),
            "Dir::Cache": str(state),
        }
        given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        command = [program, "-q", *given, *arguments]
        return tools.run(command, "apt could not do what an image needs", cwd=cwd, hint=hint)


def newest(platform: Platform, store: Store) -> tuple[Part, ...]:
    """Return the packages that the host's apt serves now for Python and the wheels' C++ library, all in the store."""
    apt = _updated(platform, store)
    version = _python(apt)
    roots = (f"python{version}-minimal", f"libpython{version}-stdlib", "libstdc++6")
    plan = apt.run("apt-get", "--simulate", "--no-install-recommends", "install", *roots)
    chosen = re.findall(r"^Inst (\S+) \((\S+) ", plan, flags=re.MULTILINE)
    parts = _described(apt, [f"{name}={number}" for name, number in chosen])
    if {part.name for part in parts} != {name for name, _ in chosen}:
        got = f"{len(parts)} of {len(chosen)}"
        raise EdgequantError("apt does not describe every package that it would install", got=got)
    _fetch(apt, [part for part in parts if store.get(part.sha256) is None], store)
    return parts


def locked(lock: Lock, platform: Platform, store: Store) -> tuple[Part, ...]:
    """Return the lock's packages, all in the store; EdgequantError where apt no longer has one as the lock says."""
    parts = lock.of("deb", platform.architecture)
    lacking = [part for part in parts if store.get(part.sha256) is None]
    if lacking:
        apt = _updated(platform, store)
        known = {part.name: part for part in _described(apt, [f"{part.name}={part.version}" for part in lacking])}
        for part in lacking:
            _refuse_other(part, known.get(part.name), lock)
        _fetch(apt, lacking, store)
    return parts


def _updated(platform: Platform, store: Store) -> Apt:
    tools.require("apt-get", _NO_APT)
    tools.require("dpkg-deb", _NO_APT)
    apt = Apt(store.folder / "apt", platform)
    apt.run("apt-get", "update", hint="the parts of an image are downloaded once; --lock and a full cache need no net")
    return apt


def _python(apt: Apt) -> str:
    found = re.search(r"^Depends:.*\bpython(3\.\d+)\b", apt.run("apt-cache", "show", "python3"), flags=re.MULTILINE)
    if not found:
        raise EdgequantError("apt's sources have no python3", hint=_NO_APT)
    return found[1]


def _described(apt: Apt, names: Sequence[str]) -> tuple[Part, ...]:
    text = apt.run("apt-cache", "show", *names, hint=_MOVED)
    return tuple(sorted(set(_parts(text, apt.platform))))


def _parts(text: str, platform: Platform) -> Iterator[Part]:
    for block in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", block, flags=re.MULTILINE))
        if "SHA256" in fields:
            file = Path(fields["Filename"]).name
            yield Part(
                "deb", platform.architecture, fields["Package"], fields["Version"], file, fields["SHA256"].lower()
            )


def _refuse_other(part: Part, found: Part | None, lock: Lock) -> None:
    if found != part:
        got = f"{found.version}, sha256 {found.sha256}" if found else "no such version"
        raise EdgequantError(
            f"apt has the package {part.name} for {part.architecture} not as the lock says",
            where=lock.where,
            got=got,
            expected=f"{part.version}, sha256 {part.sha256}",
            hint=_MOVED,
        )


def _fetch(apt: Apt, parts: Sequence[Part], store: Store) -> None:
    if not parts:
        return
    with tempfile.TemporaryDirectory(prefix="edgequant-debs-") as folder:
        apt.run("apt-get", "download", *(f"{part.name}={part.version}" for part in parts), cwd=Path(folder))
        got = {store.put(path) for path in Path(folder).glob("*.deb")}
    for part in parts:
        if part.sha256 not in got:
            raise EdgequantError(
                "apt downloaded something else than its index says", where=part.file, expected=part.sha256
            )


def _installed(name: str) -> str:
    return (
        f"Package: {name}\nStatus: install ok installed\nArchitecture: all\nMulti-Arch: foreign\n"
        f"Version: 99999:0\nMaintainer: none\nDescription: left out\n\n"
    )
