"""How much memory there is, and how many models fit."""

import pytest

from toolkit.prepare.memory import PROCESS, TIMES_WEIGHTS, available_memory, needed_memory
from toolkit.prepare.pool import Room, _fitting, _Running


def system(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    4000 kB\n"}
V2 = {
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/memory.max": "3000000\n",
    "sys/fs/cgroup/a/memory.current": "1000000\n",
    "sys/fs/cgroup/a/memory.stat": "anon 5\ninactive_file 200000\n",
    "sys/fs/cgroup/a/b/memory.max": "max\n",
    "sys/fs/cgroup/a/b/memory.current": "1\n",
}
V1 = {
    "proc/self/cgroup": "5:cpu,cpuacct:/x\n7:memory:/x\n",
    "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1000000\n",
    "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "700000\n",
    "sys/fs/cgroup/memory/x/memory.stat": "inactive_file 1\ntotal_inactive_file 100000\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (MEMINFO, 4096000),
        (MEMINFO | V2, 2200000),
        (MEMINFO | V1, 300001),
        (MEMINFO | V2 | {"sys/fs/cgroup/a/memory.current": "9000000\n"}, 0),
    ],
)
def test_available_memory(tmp_path, files, expected):
    assert available_memory(system(tmp_path, files)) == expected


def test_this_machine_has_some():
    assert available_memory() > 1_000_000


def test_a_model_needs_memory_by_its_largest_kind_of_weights(tmp_path):
    files = {"model.safetensors": "x" * 70, "onnx/model.onnx": "x" * 40, "onnx/model.onnx_data": "x" * 20, "a.txt": "x"}
    folder = system(tmp_path / "m", files)
    assert needed_memory(folder) == PROCESS + 70 * TIMES_WEIGHTS
    assert needed_memory(folder / "onnx/model.onnx") == PROCESS + 40 * TIMES_WEIGHTS
    assert needed_memory(tmp_path / "none") == PROCESS


def test_what_fits_beside_what_runs(tiny):
    first, second = tiny.units()
    needs = needed_memory(tiny.root / "encoder")
    running = [_Running(first, None, None, 0.0, needs)]
    assert _fitting([first, second], [], Room(2, 2, None)) == [first, second]
    assert _fitting([first, second], [], Room(1, 2, None)) == [first]
    assert _fitting([first, second], [], Room(2, 2, 1)) == [first]  # one always runs
    assert _fitting([second], running, Room(2, 2, needs)) == []
    assert _fitting([second], running, Room(2, 2, 3 * needs)) == [second]
