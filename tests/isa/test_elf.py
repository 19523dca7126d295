import shutil
import subprocess

import pytest

from toolkit.errors import EdgequantError
from toolkit.isa.elf import instruction_offsets
from toolkit.runtime import cpu

CPUID = b"\x0f\xa2"
CODE = """
int constant(void) { int x; __asm__ volatile("movl $0xa20fa20f, %0" : "=r"(x)); return x; }
int really(int a) { int b, c, d; __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d)); return a + b; }
const char data[] = "\\x0f\\xa2\\x0f\\xa2";
int again(int a) { return really(a) + constant() + data[really(a) & 3]; }
"""

pytestmark = pytest.mark.skipif(
    cpu.architecture() != "x86_64" or not shutil.which("gcc") or not shutil.which("objdump"),
    reason="needs gcc and objdump on x86-64: apt install gcc libc6-dev binutils",
)


def compiled(folder, code, *flags):
    (folder / "code.c").write_text(code)
    out = folder / "code.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", *flags, "-o", out, folder / "code.c"], check=True)
    return out


def offsets(path):
    return instruction_offsets(path, path.read_bytes(), CPUID, "cpuid", "objdump")


@pytest.mark.parametrize("flags", [(), ("-s",)])
def test_only_instructions_count_not_bytes_that_look_like_them(tmp_path, flags):
    path = compiled(tmp_path, CODE, *flags)
    data = path.read_bytes()
    assert data.count(CPUID) >= 5
    found = offsets(path)
    assert 1 <= len(found) <= 3  # inlined or not
    assert all(data[offset : offset + 2] == CPUID for offset in found)
    assert not any(data[offset : offset + 4] == CPUID * 2 for offset in found)


def test_none(tmp_path):
    assert offsets(compiled(tmp_path, "int f(void) { return 1; }")) == ()


def test_what_is_no_shared_object(tmp_path):
    path = tmp_path / "x.so"
    path.write_bytes(b"#!/bin/sh\n" + bytes(64))
    with pytest.raises(EdgequantError, match="not a shared object for x86-64"):
        offsets(path)


def test_without_unwinding_tables(tmp_path):
    path = compiled(tmp_path, CODE, "-fno-asynchronous-unwind-tables", "-nostdlib", "-Wl,--no-eh-frame-hdr")
    with pytest.raises(EdgequantError, match="has no table of its functions"):
        offsets(path)
