"""Downloads by digest: a file is looked at again each time it is used."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from toolkit.atomic import whole_file


@dataclass(frozen=True)
class Store:
    """A folder of files whose names are their digests."""

    folder: Path

    def get(self, sha256: str) -> Path | None:
        """Return the file with this digest; None where it is not there, or is no longer what it was."""
        path = self.folder / "sha256" / sha256
        return path if path.is_file() and file_digest(path) == sha256 else None

    def put(self, path: Path) -> str:
        """Copy a file in and return its digest in hex."""
        digest = file_digest(path)
        if self.get(digest) is None:
            (self.folder / "sha256").mkdir(parents=True, exist_ok=True)
            with whole_file(self.folder / "sha256" / digest) as beside:
                shutil.copyfile(path, beside)
        return digest


def file_digest(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
