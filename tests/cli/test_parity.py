import json

import pytest

from tests import jobs
from toolkit.cli import main


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = jobs.tiny_job(tmp_path_factory.mktemp("job"))
    assert folder.quantize() == 0
    return str(folder.out)


def test_what_was_typed_wrong_is_told(bundle, capsys):
    for words, told in {
        ("parity", bundle, "--isa", "vnni,,avx2"): "a name after --isa is empty",
        ("verify", bundle, "--sample", "4"): "sentences are compared between kernels",
        ("verify", bundle, "--isa", "vnni", "--texts", "x.txt"): "--texts says which sentences, not how many",
        ("parity", bundle, "--isa", "vnni", "--texts", "no.txt"): "there is no such file",
    }.items():
        assert main(words) == 2
        assert told in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["parity", bundle, "--budget", "soon"])
    assert "'soon' is not a number of seconds" in capsys.readouterr().err


def test_no_kernel_at_all_is_a_failure(bundle, capsys, tmp_path):
    """An empty folder of QEMU's programs: no CPU can be emulated."""
    assert main(["parity", bundle, "--isa", "cortex-a72", "--qemu", str(tmp_path), "--json", "--sample", "1"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == []
    assert "QEMU for arm64 is not installed" in report["unreached"]["cortex-a72"]


def test_the_table_names_what_could_not_be_had(bundle, capsys, tmp_path):
    (tmp_path / "texts.txt").write_text("the cat sat\n")
    words = ["parity", bundle, "--isa", "cortex-a72", "--qemu", str(tmp_path), "--texts", str(tmp_path / "texts.txt")]
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "not run: cortex-a72: QEMU for arm64 is not installed" in out
    assert "NOT the same on every kernel" in out
