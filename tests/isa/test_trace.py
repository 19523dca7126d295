import pytest

from toolkit.errors import EdgequantError
from toolkit.isa.cpu_models import cpu_model
from toolkit.isa.place import Place
from toolkit.isa.trace import check_instructions, shown_kinds, traced

UDOT, SMLAL, ADD = "6e829420", "0f722020", "8b020020"


def place(name):
    return Place(name, "emulated", ("qemu-aarch64-static", "-cpu", name, "python3"), {})


def log(path, *words):
    path.write_text("".join(f"0x55008178{row:02x}:  {word}  x\n" for row, word in enumerate(words)))
    return path


def test_the_kernel_of_the_cpu_model_must_have_run(tmp_path):
    found = check_instructions(log(tmp_path / "a", ADD, UDOT), place("cortex-a76"))
    assert found.ok
    assert found.detail == "int8 arithmetic that ran: udot"
    assert check_instructions(log(tmp_path / "b", ADD, SMLAL), place("cortex-a72")).ok


def test_another_kernel_is_told(tmp_path):
    found = check_instructions(log(tmp_path / "a", ADD, SMLAL), place("neoverse-n1"))
    assert not found.ok
    assert found.detail == "int8 arithmetic that ran: widening multiply-add; expected udot"
    assert "none; expected" in check_instructions(log(tmp_path / "b", ADD), place("cortex-a76")).detail


def test_a_log_that_is_not_there_is_told(tmp_path):
    with pytest.raises(EdgequantError, match="QEMU wrote no log"):
        shown_kinds(tmp_path / "none", cpu_model("cortex-a72"))


def test_a_traced_place_is_the_same_with_a_log():
    with traced(place("cortex-a76")) as (found, path):
        assert found.python[1:5] == ("-d", "in_asm", "-D", str(path))
        assert found.python[5:] == place("cortex-a76").python[1:]
    assert not path.parent.exists()
