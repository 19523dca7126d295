import shutil
import subprocess

import pytest

from toolkit.isa.instructions import OTHER, int8_only, kind_of, kinds, table, translated

# What GNU as gives for each line (binutils 2.40, -march=armv8.6-a+sve+i8mm).
WORDS = {
    "udot v0.4s, v1.16b, v2.16b": (0x6E829420, "udot"),
    "udot v0.4s, v1.16b, v2.4b[1]": (0x6FA2E020, "udot"),
    "sdot v0.4s, v1.16b, v2.16b": (0x4E829420, "sdot"),
    "usdot v0.4s, v1.16b, v2.16b": (0x4E829C20, "usdot"),
    "ummla v0.4s, v1.16b, v2.16b": (0x6E82A420, "ummla"),
    "smmla v0.4s, v1.16b, v2.16b": (0x4E82A420, "smmla"),
    "usmmla v0.4s, v1.16b, v2.16b": (0x4E82AC20, "usmmla"),
    "umlal v0.4s, v1.4h, v2.4h": (0x2E628020, "widening multiply-add"),
    "smlal2 v0.4s, v1.8h, v2.8h": (0x4E628020, "widening multiply-add"),
    "umlsl v0.8h, v1.8b, v2.8b": (0x2E22A020, "widening multiply-add"),
    "smlal v0.4s, v1.4h, v2.h[3]": (0x0F722020, "widening multiply-add"),
    "umull v0.8h, v1.8b, v2.8b": (0x2E22C020, "widening multiply"),
    "pmull v0.8h, v1.8b, v2.8b": (0x0E22E020, "vector, float"),
    "fmla v0.4s, v1.4s, v2.4s": (0x4E22CC20, "fmla"),
    "fmla v0.4s, v1.4s, v2.s[1]": (0x4FA21020, "fmla"),
    "fmul v0.4s, v1.4s, v2.4s": (0x6E22DC20, "fmul"),
    "ummla z0.s, z1.b, z2.b": (0x45C29820, "sve ummla"),
    "udot z0.s, z1.b, z2.b": (0x44820420, "sve dot"),
    "fmla z0.s, p0/m, z1.s, z2.s": (0x65A20020, "sve fmla"),
    "ldr q0, [x1]": (0x3DC00020, "load, store"),
    "ldp x0, x1, [x2]": (0xA9400440, "load, store"),
    "b.ne #8": (0x54000041, "branch"),
    "add x0, x1, x2": (0x8B020020, OTHER),
    "mul x0, x1, x2": (0x9B027C20, OTHER),
}


@pytest.mark.parametrize(("word", "kind"), WORDS.values(), ids=WORDS)
def test_a_word_is_of_its_kind(word, kind):
    assert kind_of(word) == kind


def test_the_table_names_every_kind_by_its_index():
    for architecture in ("arm64", "x86_64"):
        count, *rows = table(architecture).split("\n")[:-1]
        assert int(count) == len(kinds(architecture))
        assert kinds(architecture)[-1] == OTHER
        assert all(len(row.split()) == 4 for row in rows)


def test_a_log_tells_what_was_translated(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "IN: \n0x5500817868:  6e829420  udot v0\n0x550081786c:  8b020020  add x0\nOBJD-T: 20a4826e20c0222e\n"
    )
    assert translated(log, "arm64") == {"udot", OTHER, "ummla", "widening multiply"}
    log.write_text("0x4000800868:  c4 e2 75 04 c2  vpmaddubsw %ymm2, %ymm1, %ymm0\n")
    assert translated(log, "x86_64") == {"vpmaddubsw", OTHER}
    log.write_text("")
    assert translated(log, "arm64") == translated(log, "x86_64") == frozenset()


def test_int8_arithmetic_is_told_from_the_rest():
    assert int8_only({"udot": 2, "fmla": 9, "sdot": 0, "ummla": 5}) == {"ummla": 5, "udot": 2}


@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-as") is None, reason="apt install binutils-aarch64-linux-gnu")
def test_the_words_are_those_of_the_assembler(tmp_path):
    lines = "\n".join(line.replace("#8", ".+8") for line in WORDS)
    (tmp_path / "a.s").write_text(f"{lines}\n")
    subprocess.run(["aarch64-linux-gnu-as", "-march=armv8.6-a+sve+i8mm", "-o", "a.o", "a.s"], cwd=tmp_path, check=True)
    subprocess.run(
        ["aarch64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", "a.o", "a.bin"], cwd=tmp_path, check=True
    )
    data = (tmp_path / "a.bin").read_bytes()
    found = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    assert found == [word for word, _ in WORDS.values()]
