import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from toolkit.runtime import cpu

X86 = "processor : 0\nflags\t\t: fpu AVX2 avx512_vnni\n\nprocessor : 1\nflags\t\t: fpu avx2 avx512_vnni\n"
PI5 = "processor\t: 0\nFeatures\t: fp asimd asimddp\n\nprocessor\t: 1\nFeatures\t: fp asimd asimddp i8mm\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "5000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "300000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 0\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000\n"}, 3),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/cpu.max": "600000 100000\n",
            },
            4,
        ),
        ({"proc/self/cgroup": "0::/../x\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/f00\n3:cpuset:/\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "50000\n",
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        ({"proc/self/cgroup": "0::/u\n", "sys/fs/cgroup/unified/u/cpu.max": "700000 100000\n"}, 7),
        ({"proc/self/cgroup": "no colons\n"}, 8),
    ],
)
def test_threads_follow_the_cgroup(tmp_path, files, threads):
    assert cpu.available_threads(tree(tmp_path, files), affinity=8) == threads


def test_threads_here_are_no_more_than_the_affinity():
    assert 1 <= cpu.available_threads() <= len(os.sched_getaffinity(0))


def test_affinity_counts():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from toolkit.runtime.cpu import available_threads; print(available_threads())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"


def test_features_are_those_of_all_cores_with_plain_names_beside(tmp_path):
    tree(tmp_path, {"x86": X86, "pi5": PI5})
    assert cpu.features(tmp_path / "x86") == {"fpu", "avx2", "avx512_vnni", "vnni"}
    assert cpu.features(tmp_path / "pi5") == {"fp", "asimd", "asimddp", "neon", "dotprod"}


def test_missing_keeps_the_order(tmp_path):
    present = cpu.features(tree(tmp_path, {"x86": X86}) / "x86")
    assert cpu.missing(("amx_int8", "AVX2", "avx_vnni"), present) == ("amx_int8", "avx_vnni")
    assert cpu.missing(("no_such_feature",)) == ("no_such_feature",)
    assert cpu.missing(()) == ()


def test_this_machine_is_known():
    assert cpu.architecture() in ("x86_64", "arm64", platform.machine().lower())
    assert cpu.features()


def test_without_cpuinfo_x86_has_no_known_features(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="AMD64"))
    assert cpu.architecture() == "x86_64"
    assert cpu.features(tmp_path / "none") == frozenset()


def test_without_features_line_arm64_asks_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="aarch64"))
    assert cpu.architecture() == "arm64"
    known = {"asimd", "asimddp", "sve", "i8mm", "bf16", "neon", "dotprod"}
    assert cpu.features(tree(tmp_path, {"i": "processor : 0\n"}) / "i") <= known
