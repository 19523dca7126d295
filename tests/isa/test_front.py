import pytest

from toolkit.isa.cpu_models import cpu_model
from toolkit.isa.front import made_once, make_front


@pytest.fixture
def root(tmp_path):
    for name in ("usr/bin", "etc", "proc", "tmp"):
        (tmp_path / "root" / name).mkdir(parents=True)
    (tmp_path / "root/etc/passwd").write_text("root\n")
    (tmp_path / "root/etc/ld.so.cache").write_text("the image's\n")
    return tmp_path / "root"


def test_the_front_is_the_root_behind_another_cpu(root, tmp_path):
    front = make_front(root, cpu_model("cortex-a76"), tmp_path / "cache")
    assert (front / "usr").resolve() == root / "usr"
    assert (front / "etc/passwd").read_text() == "root\n"
    assert "0xd0b" in (front / "proc/cpuinfo").read_text()
    assert (front / "sys/devices/system/cpu/possible").read_text() == "0\n"
    assert (front / "edgequant/toolkit/isa/front.py").is_file()
    assert not (front / "tmp").exists()


def test_the_hosts_list_of_libraries_is_hidden_and_the_root_stays_as_it_was(root, tmp_path):
    front = make_front(root, cpu_model("Haswell"), tmp_path / "cache")
    assert (front / "etc/ld.so.cache").read_text() == ""
    assert (root / "etc/ld.so.cache").read_text() == "the image's\n"


def test_a_front_is_made_once_for_each_model(root, tmp_path):
    one, two, again = (
        make_front(root, cpu_model(name), tmp_path) for name in ("cortex-a72", "cortex-a76", "cortex-a72")
    )
    assert one == again != two
    assert [path.name for path in (tmp_path / "fronts").iterdir() if path.name.startswith(".")] == []


def test_where_another_process_was_faster_its_folder_stays(tmp_path):
    with made_once(tmp_path / "there") as partial:
        (partial / "late").touch()
        (tmp_path / "there").mkdir()
        (tmp_path / "there/there").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there/there").exists()
