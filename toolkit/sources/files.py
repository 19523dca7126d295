"""The files of one model: where each is found, what its JSON says, and a digest over all that were read."""

import hashlib
import json
from pathlib import Path

from toolkit.errors import ModelError


class Fields:
    """A JSON object whose values are read with their types; else ModelError names file and key."""

    def __init__(self, path: Path, values: dict[str, object]) -> None:
        self.path = path
        self.values = values

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        """Return a whole number of at least ``minimum``; without ``default`` the key must be there."""
        value = self._present(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise self._wrong(name, value, f"a whole number of at least {minimum}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number."""
        value = self._present(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(name, value, "a number")
        return float(value)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string."""
        value = self._present(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, value, "a string")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._present(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def _present(self, name: str, default: object) -> object:
        value = self.values.get(name)
        return default if value is None else value

    def _wrong(self, name: str, value: object, expected: str) -> ModelError:
        got = "nothing" if value is None else json.dumps(value)
        return ModelError(f"{self.path.name} has no usable {name!r}", where=self.path, got=got, expected=expected)


class Files:
    """Looks names up in ``roots``, first root first, and remembers what was read for ``digest``."""

    def __init__(self, *roots: Path) -> None:
        self.roots = list(roots)
        self._read: dict[str, Path] = {}

    def find(self, name: str) -> Path | None:
        """Return the file called ``name``, or None."""
        return next((root / name for root in self.roots if (root / name).is_file()), None)

    def prefer(self, root: Path) -> None:
        """Look into ``root`` before all others."""
        self.roots = [root, *(other for other in self.roots if other != root)]

    def take(self, path: Path, name: str = "") -> Path:
        """Count ``path`` among the files that were read, under ``name`` (its own name if not given)."""
        self._read[name or path.name] = path
        return path

    def fields(self, name: str) -> Fields | None:
        """Return the JSON object in the file called ``name``, or None if there is no such file."""
        path = self.find(name)
        return None if path is None else Fields(path, _object(path, read_json(self.take(path, name))))

    def required(self, name: str) -> Fields:
        """Return the JSON object in the file called ``name``; ModelError if there is no such file."""
        found = self.fields(name)
        if found is None:
            raise ModelError(f"{name} is missing", where=", ".join(map(str, self.roots)))
        return found

    def size(self) -> int:
        """Return the bytes of every file read."""
        return sum(path.stat().st_size for path in self._read.values())

    def digest(self) -> str:
        """Return the sha256 over name, size and bytes of every file read, in the order of the names."""
        total = hashlib.sha256()
        for name, path in sorted(self._read.items()):
            total.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    total.update(block)
        return total.hexdigest()


def read_json(path: Path) -> object:
    """Return what a JSON file holds; ModelError names file, line and column of the first mistake."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ModelError(f"{path.name} is not UTF-8 text", where=f"{path}, byte {error.start}") from error
    except json.JSONDecodeError as error:
        where = f"{path}, line {error.lineno}, column {error.colno}"
        hint = "the file is damaged or was cut off; fetch the model again"
        raise ModelError(f"{path.name} is not valid JSON: {error.msg}", where=where, hint=hint) from error
    except OSError as error:
        raise ModelError(f"cannot read {path.name}: {error.strerror}", where=path) from error


def _object(path: Path, value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise ModelError(f"{path.name} is not a JSON object", where=path, got=type(value).__name__)
