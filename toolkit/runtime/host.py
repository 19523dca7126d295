"""How a model is run on this machine: threads, and which of the two engines."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from toolkit.runtime.cpu import available_threads
from toolkit.runtime.errors import EdgequantError, UsageError

Engine = Literal["python", "capi"]
"""``python``: onnxruntime's package and numpy. ``capi``: its shared library through ctypes, numpy not needed."""

LIBRARY = "libonnxruntime.so"


@dataclass(frozen=True)
class Host:
    """Threads (None: what this process may use), engine (None: what is installed), and the library of ``capi``."""

    threads: int | None = None
    engine: Engine | None = None
    library: Path | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise UsageError("the number of threads is too small", got=self.threads, expected="at least 1")
        if self.engine not in (None, *get_args(Engine)):
            raise UsageError("there is no such engine", got=self.engine, expected=" or ".join(get_args(Engine)))
        if self.library is not None and self.engine == "python":
            hint = f"leave {self.library.name} away, or take the engine capi"
            raise UsageError("the engine python takes no library", got=self.library, hint=hint)

    def thread_count(self) -> int:
        """Return the threads to run with, at least 1."""
        return self.threads or available_threads()

    def chosen_engine(self) -> Engine:
        """Return the engine that is asked for, or ``python`` where all of it is installed, or ``capi``."""
        if self.engine is not None:
            return self.engine
        return "capi" if self.library is not None or not _python_is_installed() else "python"

    def library_path(self) -> Path:
        """Return the library that is named, or else of the installed wheel, or beside this package."""
        if self.library is not None:
            if not self.library.is_file():
                raise UsageError("there is no such library", where=self.library, expected=LIBRARY)
            return self.library
        folders = [*_wheel_folders(), *_own_folders()]
        for folder in folders:
            found = sorted(folder.glob(f"{LIBRARY}*"))
            if found:
                return found[0]
        hint = "pip install onnxruntime as edgequant pins it, or name its library"
        looked = ", ".join(map(str, folders))
        raise EdgequantError(f"onnxruntime is not installed: no {LIBRARY}", where=looked, hint=hint)


def host(
    threads: int | None = None, engine: Engine | None = None, library: str | os.PathLike[str] | None = None
) -> Host:
    """Return a Host; UsageError for a number below 1, an engine that is none, a library that does not go with it."""
    return Host(threads, engine, None if library is None else Path(library))


def as_host(value: Host | int | None) -> Host:
    """Return a number of threads as a Host."""
    return value if isinstance(value, Host) else Host(value)


def _python_is_installed() -> bool:
    if find_spec("numpy") is None:
        return False
    return any(any(folder.glob("onnxruntime_pybind11_state*.so")) for folder in _wheel_folders())


def _wheel_folders() -> Iterator[Path]:
    """Yield ``onnxruntime/capi`` where a wheel is installed, without importing it."""
    spec = find_spec("onnxruntime")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        yield Path(folder) / "capi"


def _own_folders() -> Iterator[Path]:
    package = Path(__file__).parent
    yield package
    yield package.parent.parent
