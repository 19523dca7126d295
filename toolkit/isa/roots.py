"""The root filesystems that emulation runs in: those of edgequant's images, made once and kept in the user's cache."""

import hashlib
from pathlib import Path

from toolkit.image import prune
from toolkit.image.lock import SHIPPED
from toolkit.image.platforms import PLATFORMS
from toolkit.image.rootfs import Sources, make_rootfs
from toolkit.image.wheels import Kind
from toolkit.isa.front import made_once
from toolkit.progress import Track, silent


def root_path(architecture: str, cache: Path, kind: Kind = "standard") -> Path:
    """Return where the root filesystem lies: named by the wheels that an image gets, and by what is left out of it."""
    made_by = kind.encode() + SHIPPED.read_bytes() + Path(prune.__file__).read_bytes()
    return cache / "roots" / f"{architecture}-{hashlib.sha256(made_by).hexdigest()[:12]}"


def root_for(architecture: str, cache: Path, track: Track = silent, kind: Kind = "standard") -> Path:
    """Return an architecture's root filesystem, as an image has it; fetched and made where the cache lacks it.

    Raises EdgequantError or UsageError if apt or pip is missing or gives nothing.
    """
    root = root_path(architecture, cache, kind)
    if not root.is_dir():
        with made_once(root) as partial:
            platform = next(each for each in PLATFORMS.values() if each.target == architecture)
            for each in track([platform], f"fetch {platform.name}'s root filesystem", 1):
                make_rootfs(each, Sources(cache / "image"), partial, kind)
    return root
