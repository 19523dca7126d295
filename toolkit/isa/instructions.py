"""Kinds of instructions: those that do a model's arithmetic by name, the rest by class.

Arm: Arm Architecture Reference Manual DDI 0487, C4.1 (a word is of a kind where ``word & mask == value``). x86: Intel
SDM volume 2, VEX and EVEX maps and opcodes. The first kind that fits counts.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

OTHER = "other"
_LINE = re.compile(rb"^0x[0-9a-f]+: +([0-9a-f]{8})\b", re.MULTILINE)
_BYTES = re.compile(rb"^OBJD-T: ([0-9a-f]+)", re.MULTILINE)


@dataclass(frozen=True)
class Arm:
    """One encoding of AArch64."""

    kind: str
    mask: int
    value: int


@dataclass(frozen=True)
class X86:
    """Opcodes ``first`` to ``last`` of a map (1: 0F, 2: 0F 38, 0: every map); as legacy SSE too if ``sse``."""

    kind: str
    map: int
    first: int
    last: int
    sse: bool = False


ARM = (
    Arm("udot", 0xBFE0FC00, 0x2E809400),
    Arm("udot", 0xBFC0F400, 0x2F80E000),
    Arm("sdot", 0xBFE0FC00, 0x0E809400),
    Arm("sdot", 0xBFC0F400, 0x0F80E000),
    Arm("usdot", 0xBFE0FC00, 0x0E809C00),
    Arm("usdot", 0xBFC0F400, 0x0F80F000),
    Arm("usdot", 0xBFC0F400, 0x0F00F000),  # sudot
    Arm("ummla", 0xFFE0FC00, 0x6E80A400),
    Arm("smmla", 0xFFE0FC00, 0x4E80A400),
    Arm("usmmla", 0xFFE0FC00, 0x4E80AC00),
    Arm("widening multiply-add", 0x9F20DC00, 0x0E208000),  # [su]mlal, [su]mlsl
    Arm("widening multiply-add", 0x9F00B400, 0x0F002000),
    Arm("widening multiply", 0x9F20FC00, 0x0E20C000),  # [su]mull
    Arm("widening multiply", 0x9F00F400, 0x0F00A000),
    Arm("sve ummla", 0xFFE0FC00, 0x45C09800),
    Arm("sve smmla", 0xFFE0FC00, 0x45009800),
    Arm("sve usmmla", 0xFFE0FC00, 0x45809800),
    Arm("sve dot", 0xFFC0F800, 0x44800000),
    Arm("sve fmla", 0xFF208000, 0x65200000),
    Arm("fmla", 0xBF20FC00, 0x0E20CC00),
    Arm("fmla", 0xBF80B400, 0x0F801000),
    Arm("fmul", 0xBFA0FC00, 0x2E20DC00),
    Arm("fmul", 0xBF80F400, 0x0F809000),
    Arm("sve other", 0x1E000000, 0x04000000),
    Arm("load, store", 0x0A000000, 0x08000000),
    Arm("branch", 0x1C000000, 0x14000000),
    Arm("vector, float", 0x0E000000, 0x0E000000),
)
X86S = (
    X86("vpmaddubsw", 2, 0x04, 0x04, sse=True),
    X86("vpmaddwd", 1, 0xF5, 0xF5, sse=True),
    X86("vpdpbusd", 2, 0x50, 0x51),
    X86("fma", 2, 0x96, 0x9F),
    X86("fma", 2, 0xA6, 0xAF),
    X86("fma", 2, 0xB6, 0xBF),
    X86("vector, float", 0, 0x00, 0xFF),
)
# What multiplies and adds 8-bit numbers, or what they were widened to.
INT8 = (
    "udot", "sdot", "usdot", "ummla", "smmla", "usmmla", "widening multiply-add", "widening multiply", "sve ummla",
    "sve smmla", "sve usmmla", "sve dot", "vpmaddubsw", "vpmaddwd", "vpdpbusd",
)  # fmt: skip


def kinds(architecture: str) -> tuple[str, ...]:
    """Return the kinds of an architecture in order, each once, OTHER last."""
    rows: tuple[Arm | X86, ...] = ARM if architecture == "arm64" else X86S
    return (*dict.fromkeys(row.kind for row in rows), OTHER)


def table(architecture: str) -> str:
    """Return the kinds as ``count.c`` reads them: a row an encoding, its kind as its index in ``kinds``."""
    names = kinds(architecture)
    if architecture == "arm64":
        rows = [f"{row.mask} {row.value} 0 {names.index(row.kind)}" for row in ARM]
    else:
        rows = [f"{row.map} {row.first} {row.last} {2 * names.index(row.kind) + row.sse}" for row in X86S]
    return "".join(f"{line}\n" for line in (str(len(names)), *rows))


def kind_of(word: int) -> str:
    """Return the kind of an AArch64 instruction."""
    return next((row.kind for row in ARM if word & row.mask == row.value), OTHER)


def translated(log: Path, architecture: str) -> frozenset[str]:
    """Return the kinds in a log of QEMU's ``-d in_asm``: those that a program came to, each block at its first run.

    On arm64 by the words themselves, on x86 by the names that QEMU prints; empty for an empty log.
    """
    data = log.read_bytes()
    if architecture != "arm64":
        named = {kind for kind in kinds(architecture) if kind.encode() in data}
        return frozenset(named | ({OTHER} if data else set()))
    found = {int(word, 16) for word in set(_LINE.findall(data))}
    for line in set(_BYTES.findall(data)):
        found |= {int.from_bytes(bytes.fromhex(line[at : at + 8].decode()), "little") for at in range(0, len(line), 8)}
    return frozenset(map(kind_of, found))


def int8_only(counts: Mapping[str, int], names: Iterable[str] = INT8) -> dict[str, int]:
    """Return those of the counts that are int8 arithmetic and not zero, largest first."""
    chosen = {name: counts[name] for name in names if counts.get(name)}
    return dict(sorted(chosen.items(), key=lambda item: -item[1]))
