"""Which shared libraries a root filesystem needs: what nothing asks for goes, what is asked for must be there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from toolkit.errors import EdgequantError
from toolkit.image.platforms import Platform

_MAGIC = b"\x7fELF"
_SECTION_FIELDS = ((0x28, 8), (0x3C, 2), (0x3E, 2))  # (offset, bytes) of e_shoff, e_shnum, e_shstrndx in ELF64


@dataclass(frozen=True)
class Binary:
    """A program or a shared library: its machine, and the names of the libraries that it asks for."""

    machine: str
    needed: tuple[str, ...]


def read_binary(path: Path) -> Binary | None:
    """Return what an ELF file asks for; None for a file that is none."""
    with path.open("rb") as handle:
        if handle.read(4) != _MAGIC:
            return None
        try:
            elf = ELFFile(handle)
            tags = [tag for part in elf.iter_segments() if isinstance(part, DynamicSegment) for tag in part.iter_tags()]
            needed = tuple(str(vars(tag)["needed"]) for tag in tags if tag.entry.d_tag == "DT_NEEDED")
            return Binary(elf.header.e_machine, needed)
        except ELFError as error:
            raise EdgequantError("a binary is damaged", where=path, got=error) from None


def drop_unneeded(root: Path, platform: Platform) -> None:
    """Remove the system libraries that nothing asks for; EdgequantError for one that is missing, or of another machine.

    Roots are all programs and all libraries outside of the system's own folder: Python's extensions and the wheels'.
    """
    system = root / "usr/lib" / platform.triplet
    found = {path: binary for path in _files(root) if (binary := read_binary(path))}
    wrong = next((path for path, binary in found.items() if binary.machine != platform.elf), None)
    if wrong:
        raise _wrong(wrong, found[wrong], platform)
    todo = [path for path in found if path.parent != system]
    bundled = {path.name for path in todo}
    kept: set[Path] = set()
    while todo:
        path = todo.pop()
        kept.add(path)
        for name in found[path].needed:
            library = _resolved(system / name)
            if library is None and name not in bundled and not name.startswith("ld-linux"):
                raise EdgequantError(f"the image lacks the library {name}", where=path.relative_to(root))
            if library and library not in kept:
                todo.append(library)
    for path in sorted(system.iterdir()):
        if _resolved(path) not in kept:
            path.unlink()


def strip_symbols(path: Path) -> None:
    """Cut off a library's symbol table and section headers where nothing that is loaded lies behind them.

    The loader reads segments only. Other libraries stay as they are, so that no tool for a foreign machine is needed.
    """
    with path.open("r+b") as handle:
        elf = ELFFile(handle)
        table = elf.get_section_by_name(".symtab")
        end = max(segment["p_offset"] + segment["p_filesz"] for segment in elf.iter_segments())
        if table is None or table["sh_offset"] < end or elf.elfclass != 64:
            return
        for offset, size in _SECTION_FIELDS:
            handle.seek(offset)
            handle.write(bytes(size))
        handle.truncate(end)


def require_libraries(root: Path, library: Path, platform: Platform) -> None:
    """Raise EdgequantError where a binary under ``library`` asks for what no folder of the root filesystem has."""
    present = {path.name for path in root.rglob("*.so*")}
    for path in _files(library):
        binary = read_binary(path)
        if binary and binary.machine != platform.elf:
            raise _wrong(path, binary, platform)
        missing = sorted(set(binary.needed) - present) if binary else []
        if missing:
            raise EdgequantError(f"the base lacks the library {missing[0]}", where=path.relative_to(root))


def _wrong(path: Path, binary: Binary, platform: Platform) -> EdgequantError:
    what = "a binary is not for the image's platform"
    return EdgequantError(what, where=path, got=binary.machine, expected=platform.elf)


def _files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())


def _resolved(path: Path) -> Path | None:
    return path.resolve() if path.exists() else None
