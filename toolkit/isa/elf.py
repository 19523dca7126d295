"""Where a shared object for x86-64 has an instruction: its functions from .eh_frame_hdr, each disassembled by objdump.

Bytes that look like the instruction may be parts of others, or data: only what objdump decodes from the start of a
function counts. Layout: System V ABI, Linux Standard Base core 5.0, "The .eh_frame_hdr section".
"""

import io
import struct
import subprocess
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from toolkit.errors import EdgequantError

_LOAD, _EH_FRAME_HDR, _EXECUTABLE = "PT_LOAD", "PT_GNU_EH_FRAME", 1
_KNOWN_HDR = b"\x01\x1b\x03\x3b"  # version 1; pointers of 4 bytes, the table's relative to the section
_LONGEST = 15  # bytes of an x86 instruction


@dataclass(frozen=True)
class Segment:
    """A part of the file and where it lies in memory."""

    kind: str  # as elf.h names it
    flags: int
    offset: int
    address: int
    size: int


def instruction_offsets(path: Path, data: bytes, code: bytes, mnemonic: str, objdump: str) -> tuple[int, ...]:
    """Return the file offsets of every instruction with these bytes and this name, in order.

    ``data`` is the file's content. EdgequantError if it is no such file or objdump fails.
    """
    segments = _segments(path, data)
    starts = _function_starts(path, data, segments)
    found = []
    for segment in segments:
        if segment.kind == _LOAD and segment.flags & _EXECUTABLE:
            for offset in _matches(data, code, segment):
                address = offset - segment.offset + segment.address
                start = starts[max(0, bisect_right(starts, address) - 1)]
                if _decodes(path, start, address, mnemonic, objdump):
                    found.append(offset)
    return tuple(found)


def _segments(path: Path, data: bytes) -> tuple[Segment, ...]:
    try:
        elf = ELFFile(io.BytesIO(data))
        headers = [segment.header for segment in elf.iter_segments()]
    except ELFError as error:
        raise EdgequantError("not a shared object for x86-64", where=path) from error
    if elf["e_machine"] != "EM_X86_64" or elf.elfclass != 64:
        raise EdgequantError("not a shared object for x86-64", where=path)
    return tuple(Segment(h.p_type, h.p_flags, h.p_offset, h.p_vaddr, h.p_filesz) for h in headers)


def _function_starts(path: Path, data: bytes, segments: tuple[Segment, ...]) -> list[int]:
    """Return the sorted addresses of the functions that can be unwound: all that a compiler made."""
    header = next((segment for segment in segments if segment.kind == _EH_FRAME_HDR), None)
    if header is None or data[header.offset : header.offset + 4] != _KNOWN_HDR:
        raise EdgequantError("the shared object has no table of its functions", where=path, expected=".eh_frame_hdr")
    (count,) = struct.unpack_from("<I", data, header.offset + 8)
    rows = struct.iter_unpack("<ii", data[header.offset + 12 : header.offset + 12 + 8 * count])
    return sorted(header.address + start for start, _ in rows)


def _matches(data: bytes, code: bytes, segment: Segment) -> Iterator[int]:
    offset, end = segment.offset - 1, segment.offset + segment.size
    while (offset := data.find(code, offset + 1, end)) >= 0:
        yield offset


def _decodes(path: Path, start: int, address: int, mnemonic: str, objdump: str) -> bool:
    command = [objdump, "-d", "--no-show-raw-insn", f"--start-address={start}", f"--stop-address={address + _LONGEST}"]
    ended = subprocess.run([*command, path], capture_output=True, text=True, errors="replace", check=False)
    if ended.returncode:
        raise EdgequantError("objdump cannot read the shared object", where=path, got=ended.stderr.strip())
    rows = (line.split("\t") for line in ended.stdout.splitlines() if "\t" in line)
    return any(row[0].strip() == f"{address:x}:" and row[1].split()[:1] == [mnemonic] for row in rows)
